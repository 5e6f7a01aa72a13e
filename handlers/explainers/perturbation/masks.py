"""Masks from seeds, and gradients back to the seeds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handlers.explainers.perturbation.area import ranking
from handlers.explainers.perturbation.plan import PerturbationPlan
from handlers.explainers.perturbation.smooth_max import SmoothMax
from handlers.explainers.perturbation.time_filter import TimeFilter


@dataclass(frozen=True)
class UpsampledMask:
    """values: [T, H, W] in 0 .. 1. sums: what the way back needs."""

    values: Tensor
    sums: Tensor


class Masks:
    """The way from the seeds [T, h, w] of one mask to its pixels [T, H, W]."""

    def __init__(self, plan: PerturbationPlan, clip: Tensor) -> None:
        """clip: [C, T, H, W]."""
        _, frames, height, width = clip.shape
        self._like = clip
        self._space = SmoothMax(height, width, plan.step, plan.sigma, clip)
        # Each frame alone has no neighbours to be smoothed with.
        smooth = plan.smoothing > 0 and plan.variant != "unsync"
        self._time = TimeFilter(frames, plan.smoothing, clip) if smooth else None
        self.grid = (frames, *self._space.grid)
        self._by_frame = plan.variant != "st"

    def upsample(self, seeds: Tensor) -> UpsampledMask:
        """Seeds that are all 1 give a mask that is all 1."""
        values, sums = self._space.upsample(seeds)
        return UpsampledMask(values if self._time is None else self._time.apply(values[None])[0], sums)

    def pull(self, gradient: Tensor, seeds: Tensor, upsampled: UpsampledMask) -> Tensor:
        """The gradient at the seeds from that at the mask."""
        if self._time is not None:
            gradient = self._time.pull(gradient[None])[0]
        return self._space.pull(gradient, seeds, upsampled.sums)

    def seed_share(self) -> float:
        """What one full seed alone covers, in its middle of the clip: the share of the clip, or of a frame where each
        has its area. Where this is more than an area, no mask of that area is near binary."""
        frames, rows, columns = self.grid
        seeds = torch.zeros(self.grid).to(self._like)
        seeds[slice(None) if self._by_frame else frames // 2, rows // 2, columns // 2] = 1
        return float(self.upsample(seeds).values.double().mean())

    def misfit(self, mask: Tensor, area: float) -> float:
        """How far a mask [T, H, W] is from keeping exactly its area (Eq. 4), as a part of that area: 0 for a cut, 1
        where it keeps nothing, more where it is grey."""
        rows = mask.flatten(1) if self._by_frame else mask.reshape(1, -1)
        return float(ranking(rows, torch.full((len(rows),), area))[0].mean()) / area

    def cells(self, mask: Tensor) -> Tensor:
        """[T, H, W] -> [T, h, w]: the mean of the mask in the cell around each seed."""
        return self._space.means(mask)


def kept(mask: Tensor, share: float, by_frame: bool = False) -> Tensor:
    """bool [T, H, W]: the highest values of a mask, to the pixel as many as the share (of each frame if by_frame)."""
    groups = mask.flatten(1) if by_frame else mask.reshape(1, -1)
    count = max(1, round(share * groups.shape[1]))
    chosen = torch.zeros_like(groups, dtype=torch.bool).scatter_(1, groups.topk(count, 1).indices, True)
    return chosen.view(mask.shape)


def perimeter(chosen: Tensor) -> int:
    """Of a cut bool [T, H, W]: pixel edges between what is kept and what is not, of all frames; the clip's border is
    none."""
    return int((chosen[:, 1:] != chosen[:, :-1]).sum() + (chosen[:, :, 1:] != chosen[:, :, :-1]).sum())
