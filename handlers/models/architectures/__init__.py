"""Architectures, one family a file (FAMILY or FAMILIES); family_registry finds them here.

In come the arguments of a model's card; out goes an nn.Module from clips float32 [B, 3, T, H, W] to logits [B, K].
Called by handlers.models.action_model, which fills in the weights, by importing and by support.
"""
