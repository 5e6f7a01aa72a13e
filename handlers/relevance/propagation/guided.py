"""Guided Backprop and Guided Grad-CAM, on the same program: functional and shared rectifiers count like all others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from handlers.relevance.errors import BadClip
from handlers.relevance.program.forward_pass import propagating
from handlers.relevance.program.protocol import Pass
from handlers.relevance.propagation.propagate import Contrast, start_slopes


def guided_backprop(forward: Pass, target: Tensor | int, contrast: Contrast = None) -> Tensor:
    """[B, C, T, H, W] gradient of the target's logit (minus the contrast's) that passes rectifiers only where
    both the activation and the gradient are positive (Springenberg et al., used in the selective-relevance paper, 2.2).

    Raises UnknownClass, NotKept. A clip whose logits are not finite has NaN everywhere.
    """
    if isinstance(contrast, str):
        raise BadClip("contrast: guided backprop takes a class number")
    found = propagating(forward).pulled("", start_slopes(forward, target, contrast), guided=True)
    for item in propagating(forward).broken:
        found[item] = torch.nan
    return found


def guided_grad_cam(forward: Pass, cam: Tensor, target: Tensor | int, contrast: Contrast = None) -> Tensor:
    """[B, C, T, H, W] guided backprop times a Grad-CAM map [B, T', H', W'], resized trilinearly to the clip."""
    size = forward.clip.shape[2:]
    if cam.dim() != 4 or cam.shape[0] != len(forward):
        raise BadClip(f"cam: expected [{len(forward)}, T', H', W'], got {list(cam.shape)}")
    with torch.no_grad():
        resized = F.interpolate(cam[:, None].to(forward.clip), size=tuple(size), mode="trilinear", align_corners=False)
        return guided_backprop(forward, target, contrast) * resized
