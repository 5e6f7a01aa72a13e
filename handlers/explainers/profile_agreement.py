"""How far explanations of one clip agree on when its evidence is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from handlers.explainers.attribution import Attribution, SaliencyVolume
from handlers.explainers.frame_profile import frame_profile


def profile_on_frames(attribution: Attribution, target: int, frames: int) -> Tensor:
    """The frame profile on the frames of the clip, float64 [frames].

    Steps of a coarser grid are joined by straight lines; before the first and after the last one the profile stays as
    it is there. A relevance matrix of blocks has its columns spread evenly.
    """
    profile = frame_profile(attribution, target)
    if isinstance(attribution, SaliencyVolume):
        positions = np.asarray(attribution.frame_positions, dtype=np.float64)
    else:
        positions = (np.arange(len(profile)) + 0.5) * frames / len(profile) - 0.5
    return torch.from_numpy(np.interp(np.arange(frames), positions, profile.cpu().numpy()))


def ranks(values: Tensor) -> Tensor:
    """Ranks from 0 on, float64 [n]; equal values share the mean of theirs. values: [n]."""
    ordered = values.sort().values
    first, after = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    return (first + after - 1).double() / 2


def spearman(one: Tensor, other: Tensor) -> float | None:
    """Spearman's rank correlation of two series [n], -1 .. 1, ties by mean ranks.

    None where it is not defined: fewer than two values, all values of a series equal, or some not finite.
    """
    if len(one) < 2 or not bool(one.isfinite().all() & other.isfinite().all()):
        return None
    a, b = (series - series.mean() for series in (ranks(one), ranks(other)))
    scale = float((a.square().sum() * b.square().sum()).sqrt())
    return max(-1.0, min(1.0, float(a @ b) / scale)) if scale > 0 else None


def profile_agreement(attributions: Sequence[Attribution], target: int, frames: int) -> float | None:
    """Mean over all pairs of Spearman's correlation of their frame profiles, -1 .. 1; higher: they agree more.

    target: the explained class. frames: of the clip. Pairs for which it is not defined do not count; None where none
    is left.
    """
    profiles = [profile_on_frames(attribution, target, frames) for attribution in attributions]
    found = [rho for one, other in combinations(profiles, 2) if (rho := spearman(one, other)) is not None]
    return sum(found) / len(found) if found else None
