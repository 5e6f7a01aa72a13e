"""Answers clips with one loaded model.

In come ClipRequests (uint8 clips, methods, target) and job states; out go ClipAnswers (logits, attributions) and job
blocks. Called by handlers.wire in a worker, by checking, importing and exporting, and by the in-process backend.
"""
