"""How an explanation spreads over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from handlers.explainers.attribution import Attribution, FrameAttribution, RelevanceMatrix, SaliencyVolume


def frame_profile(attribution: Attribution, target: int) -> Tensor:
    """Positive relevance per time step, float64 [n].

    Saliency: what the mask keeps, summed over space, [T']. Relevance matrix: the rows whose logit is positive, summed,
    [N]. Frame attribution: [N], of class `target` where it has a column per class.
    """
    match attribution:
        case SaliencyVolume(values=values, mask=mask):
            kept = values if mask is None else values * mask
            return kept.double().clamp(min=0).sum((1, 2))
        case RelevanceMatrix(values=values, row_logits=row_logits):
            return values[row_logits > 0].double().clamp(min=0).sum(0)
        case FrameAttribution(values=values):
            return (values[:, target] if values.ndim > 1 else values).double().clamp(min=0)


def on_frames(values: Tensor, positions: Sequence[float], frames: int) -> Tensor:
    """Values of time steps, linear between the frames at which they lie, constant before the first and after the last.

    values: float [T']. positions: [T'] rising, in frames. Returns float64 [frames].
    """
    return torch.from_numpy(np.interp(np.arange(frames), positions, values.double().cpu().numpy()))


def frame_entropy(attribution: Attribution, target: int) -> float | None:
    """Entropy of the frame profile over its maximum: 0 when one step holds all of it, 1 when all hold the same.

    target: the explained class. None where it says nothing: a single time step, no positive relevance, or values that
    are not finite.
    """
    profile = frame_profile(attribution, target)
    total = float(profile.sum())
    if len(profile) < 2 or total <= 0 or not math.isfinite(total):
        return None
    return float(torch.special.entr(profile / total).sum()) / math.log(len(profile))
