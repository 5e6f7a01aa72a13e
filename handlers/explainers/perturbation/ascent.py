"""One step of one mask towards its aim (comprehensive study, Eq. 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handlers.explainers.perturbation.area import ranking
from handlers.explainers.perturbation.masks import Masks
from handlers.explainers.perturbation.plan import PerturbationPlan
from handlers.explainers.perturbation.pyramid import Pyramid
from handlers.explainers.perturbation.score import Score
from handlers.explainers.perturbation.shape import compactness

_RATE, _MOMENTUM = 0.03, 0.9
_LONGEST = 0.03
"""Most that a seed moves at once. Where the class is lost its gradients are large, and would throw the mask back."""


@dataclass(frozen=True)
class AscentState:
    """One mask on its way. seeds, momentum: [T, h, w]. score: 0 .. 1, how well it does what it is for, before the
    step. misfit: its distance from keeping its share exactly (Eq. 4), as a part of that share."""

    seeds: Tensor
    momentum: Tensor
    score: float = 0.0
    misfit: float = 0.0


class Ascent:
    """Steps of gradient ascent on log p (and log (1 - p) of what is left) minus lambda times the ranking term."""

    def __init__(self, score: Score, pyramid: Pyramid, masks: Masks, plan: PerturbationPlan) -> None:
        self._score, self._pyramid, self._masks, self._plan = score, pyramid, masks, plan

    def start(self, like: Tensor) -> AscentState:
        """All seeds 1/2: nothing is kept and nothing is gone. like: gives dtype and device."""
        seeds = torch.full(self._masks.grid, 0.5).to(like)
        return AscentState(seeds, torch.zeros_like(seeds))

    def step(self, state: AscentState, area: float, iteration: int) -> AscentState:
        """The next state of the mask for one area. iteration: counted from 0, for lambda."""
        upsampled = self._masks.upsample(state.seeds)
        mask = upsampled.values
        score, gradient = self._slope(mask)
        rows = mask.reshape(1, -1) if self._plan.variant == "st" else mask.flatten(1)
        misfits, slopes = ranking(rows, torch.full((len(rows),), area))
        gradient -= self._plan.weight(iteration) / len(rows) * slopes.view_as(gradient)
        towards = self._masks.pull(gradient, state.seeds, upsampled)
        if self._plan.shape:
            towards -= self._shape(state.seeds, area, iteration)
        # Per seed, so that a step means the same for any length and size of clip.
        momentum = _MOMENTUM * state.momentum + (1 - _MOMENTUM) * towards * state.seeds.numel()
        seeds = (state.seeds + (_RATE * momentum).clamp_(-_LONGEST, _LONGEST)).clamp_(0, 1)
        return AscentState(seeds, momentum, score, float(misfits.mean()) / area)

    def probability(self, mask: Tensor) -> float:
        """p of the clip under a mask [T, H, W]."""
        clips, _ = self._pyramid.apply(mask[None])
        return float(self._score.probability(clips))

    def scores(self, mask: Tensor) -> tuple[float | None, float | None]:
        """(p of what a mask [T, H, W] keeps, p of what it leaves), mean over the frames for "unsync"; None: not
        part of the plan."""
        found: list[float | None] = []
        for keeps in (True, False):
            used = self._plan.mode in ("dual", "preserve" if keeps else "delete")
            found.append(self._mean_probability(mask, keeps) if used else None)
        return found[0], found[1]

    def _slope(self, mask: Tensor) -> tuple[float, Tensor]:
        """(score, gradient of its logarithm) at a mask; for "unsync" the mean over the frames."""
        total = torch.zeros_like(mask)
        found = []
        for frame, view in self._views(mask):
            for keeps in self._sides:
                clips, slopes = self._pyramid.apply((view if keeps else 1 - view)[None])
                p, gradient = self._score.gradient(clips, keeps)
                found.append(float(p) if keeps else 1 - float(p))
                # Channel by channel: a sum over an axis of 3 is four times slower.
                by_mask = sum((g * s for g, s in zip(gradient[0], slopes[0], strict=True)), torch.zeros(()).to(mask))
                total[frame] += by_mask[frame] if keeps else -by_mask[frame]
        return sum(found) / len(found), total

    def _mean_probability(self, mask: Tensor, keeps: bool) -> float:
        found = [self.probability(view if keeps else 1 - view) for _, view in self._views(mask)]
        return sum(found) / len(found)

    @property
    def _sides(self) -> tuple[bool, ...]:
        return {"preserve": (True,), "delete": (False,), "dual": (True, False)}[self._plan.mode]

    def _views(self, mask: Tensor) -> list[tuple[slice, Tensor]]:
        """The masks that the network is shown, and the frames of each whose gradient counts."""
        if self._plan.variant != "unsync":
            return [(slice(None), mask)]
        frames = [slice(t, t + 1) for t in range(len(mask))]
        views = []
        for frame in frames:
            alone = torch.zeros_like(mask)
            alone[frame] = mask[frame]
            views.append((frame, alone))
        return views

    def _shape(self, seeds: Tensor, area: float, iteration: int) -> Tensor:
        """The gradient of lambda times the shape term; each frame alone for "unsync"."""
        bodies = seeds[:, None] if self._plan.variant == "unsync" else seeds[None]
        _, gradients = compactness(bodies, area)
        return gradients.view_as(seeds) * (self._plan.weight(iteration) * area / len(bodies))
