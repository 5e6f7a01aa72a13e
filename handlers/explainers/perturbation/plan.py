"""The parameters of a perturbation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Mode = Literal["preserve", "delete", "dual"]
Variant = Literal["st", "sync", "unsync"]


MOST_STEPS = 16
"""Reach of a seed in steps: what an iteration costs and holds grows with the square of it."""

_SIDE, _STEP, _SIGMA = 112, 7, 11.0


@dataclass(frozen=True)
class PerturbationPlan:
    """How masks are made and what they should do.

    areas: share of the visible volume that each mask keeps (preserve) or takes away (delete), or that does both (dual).
    variant: "st", the share counts over the whole clip; "sync", in every frame; "unsync", each frame alone while all
    others stay perturbed (delete: stay as they are).
    step: pixels between seeds. sigma: pixels, the reach of a seed; both for a shorter side of 112 pixels, see
    `geometry` for others. smoothing: frames, 0 is off (Eq. 7).
    shape: ask for one compact shape (Eq. 8-9).
    ranking: lambda of Eq. 4 at the start; growth: its factor per iteration, up to MOST_RANKING.
    """

    areas: tuple[float, ...] = (0.01, 0.05, 0.1)
    mode: Mode = "preserve"
    variant: Variant = "st"
    step: int = _STEP
    sigma: float = _SIGMA
    smoothing: float = 0.0
    shape: bool = False
    ranking: float = 0.3
    growth: float = 1.04

    @staticmethod
    def geometry(side: int, step: int | None = None, sigma: float | None = None) -> tuple[int, float]:
        """(step, sigma) for frames whose shorter side has so many pixels: those given, for each that is left out 7 and
        11 pixels of 112, as published, and as much of any other side; at most MOST_STEPS steps of reach."""
        if step is None:
            wanted = round(_STEP * side / _SIDE)
            step = max(1, wanted if sigma is None else max(wanted, math.ceil(sigma / MOST_STEPS)))
        return step, min(_SIGMA * side / _SIDE, float(MOST_STEPS * step)) if sigma is None else sigma

    def weight(self, iteration: int) -> float:
        """lambda at an iteration, counted from 0."""
        most = max(self.ranking, MOST_RANKING)
        if iteration * math.log(self.growth) >= math.log(most / self.ranking):  # the power may be larger than any float
            return most
        return self.ranking * self.growth**iteration


MOST_RANKING = 10.0
"""Beyond it steps would jump over the border between kept and not kept."""
