"""Clips whose content is taken away, for measures that put it back or take it away bit by bit.

What a network of optical flow is shown is perturbed as such: flow is blurred, and grey is no motion.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from handlers.evaluation.subject import Subject
from handlers.explainers.perturbation import smoothed

Blank = Literal["blur", "grey", "fade"]
BLUR = 0.18
"""Standard deviation of the blur as a share of the frame's shorter side (20 pixels of 112, as the authors have it)."""


def blurred_clip(clip: Tensor, seen: Tensor, share: float = BLUR) -> Tensor:
    """Every frame blurred by a Gaussian whose standard deviation is a share of the frame's shorter side.

    clip: float [C, T, H, W] as the network takes it: normalisation is linear, so this is the blur of its pixels. seen:
    bool [H, W], a rectangle: padding stays, and does not run into the picture, whose edges are repeated. Same shape.
    """
    rows, columns = seen.any(1).nonzero()[:, 0], seen.any(0).nonzero()[:, 0]
    if not len(rows):
        return clip.clone()
    part = (..., slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    found = clip.clone()
    found[part] = smoothed(clip[part], share * min(clip.shape[2:]))
    return found


def filled_clip(clip: Tensor, seen: Tensor, color: Tensor) -> Tensor:
    """One colour, [C] as the network takes it, where a clip [C, T, H, W] is no padding (seen: bool [H, W])."""
    return torch.where(seen, color.to(clip).view(-1, 1, 1, 1), clip)


def blank_clip(subject: Subject, clip: Tensor, kind: Blank, share: float = BLUR) -> Tensor:
    """The subject's prepared clip, float32 [C, T, H, W], without its content; padding stays.

    "blur": `blurred_clip`. "grey": pixels of 128, of optical flow no motion. "fade": zeros after normalisation, which
    is the mean colour of the card.
    """
    if kind == "blur":
        return blurred_clip(clip, subject.seen, share)
    if kind == "fade":
        return filled_clip(clip, subject.seen, torch.zeros(len(clip)))
    grey = subject.model.prepare([np.full_like(subject.clip[:2], 128)])
    return filled_clip(clip, subject.seen, grey[0, :, 0, 0, 0])
