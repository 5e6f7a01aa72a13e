"""Methods that answer live, one Explainer a file; method_registry finds them here.

In come a forward pass that has been run, items (clip, target) of its batch and parameters; out goes an Attribution for
each item. Called by handlers.engine.engine, several methods on one forward.
"""
