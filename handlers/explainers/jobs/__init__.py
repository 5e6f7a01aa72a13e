"""Methods that run as jobs, one IterativeExplainer a file; method_registry finds them here.

In come a Question (model, clip, logits, target, parameters) and a State; out go the next State, small enough to store,
and an Attribution at any time. Called by handlers.engine.block, one block of iterations at a time.
"""
