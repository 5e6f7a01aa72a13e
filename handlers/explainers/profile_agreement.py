"""How far explanations of one clip agree on when its evidence is."""

from __future__ import annotations

from torch import Tensor

from actionlens import frame_agreement
from handlers.explainers.attribution import Attribution, SaliencyVolume
from handlers.explainers.frame_profile import frame_profile, on_frames


def profile_on_frames(attribution: Attribution, target: int, frames: int) -> Tensor:
    """The frame profile on the frames of the clip, float64 [frames].

    Steps of a coarser grid are joined by straight lines; before the first and after the last one the profile stays as
    it is there. A relevance matrix of blocks has its columns spread evenly.
    """
    profile = frame_profile(attribution, target)
    if isinstance(attribution, SaliencyVolume):
        return on_frames(profile, attribution.frame_positions, frames)
    return on_frames(profile, [(step + 0.5) * frames / len(profile) - 0.5 for step in range(len(profile))], frames)


def spearman(one: Tensor, other: Tensor) -> float | None:
    """Spearman's rank correlation of two series [n], -1 .. 1, ties by mean ranks; None where it is not defined.

    See actionlens.frame_agreement.
    """
    return frame_agreement.spearman(one.cpu().numpy(), other.cpu().numpy())
