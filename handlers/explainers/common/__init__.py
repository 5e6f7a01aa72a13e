"""Parts that several methods share.

In come clips, logits and a job's State; out go scores, baselines, groups of items, discard curves, running statistics
and slices of time. Called by the methods in live/ and jobs/ alone.
"""
