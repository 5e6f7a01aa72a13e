"""A traced model as a list of steps, and networks that are run without being traced.

In come clips float [B, C, T, H, W]; out goes a pass: logits, activations of layers, gradients, logits per frame.
Made by relevance.tracing; called by the engine and the explainers through the interface in protocol.py.
"""
