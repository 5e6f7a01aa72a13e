"""Modules whose meaning tracing cannot read off their parts, so that they have rules as a whole.

In come clips or activations [B, C, T, H, W]; out go activations of the same layout.
Called by the architectures that are built of them; tracing meets them as one step each.
"""
