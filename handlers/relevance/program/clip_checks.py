"""Whether a clip fits a network, and what the network makes of it are logits."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from handlers.relevance.errors import BadClip


def check_clip(clip: Tensor) -> None:
    """Raise BadClip for anything but floating-point [B, C, T, H, W] with no axis of 0."""
    if clip.dim() != 5 or 0 in clip.shape or not clip.is_floating_point():
        raise BadClip(f"clip: expected floating-point [B, C, T, H, W], got {list(clip.shape)} {clip.dtype}")


def check_logits(logits: object, clip: Tensor) -> Tensor:
    """The logits [B, K] of a clip. Raises BadClip where the network has put out something else."""
    if not isinstance(logits, Tensor) or logits.dim() != 2 or logits.shape[0] != clip.shape[0]:
        shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise BadClip(f"clip: {list(clip.shape)} gives {shape} where logits [B, K] are expected")
    return logits


def refuse_misfit(clip: Tensor, step_name: str, error: Exception) -> NoReturn:
    """Raise BadClip for an error that a clip's shape has led to; the error itself where memory has run out."""
    if isinstance(error, torch.OutOfMemoryError) or "memory" in str(error):
        raise error
    raise BadClip(f"clip: {list(clip.shape)} does not fit the model at {step_name}: {error}") from error
