"""The masks of several areas on their way, each until it has arrived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from handlers.explainers.perturbation.ascent import Ascent, AscentState
from handlers.explainers.perturbation.plateau import arrived


@dataclass(frozen=True)
class Progress:
    """All that has to be remembered between two iterations, one row per area.

    seeds, momentum: [A, T, h, w]. scores, misfits: [A, iterations so far], the last values repeated once a mask has
    arrived (`AscentState`). used: int64 [A], iterations of each mask.
    """

    seeds: Tensor
    momentum: Tensor
    scores: Tensor
    misfits: Tensor
    used: Tensor

    @classmethod
    def start(cls, ascent: Ascent, count: int, like: Tensor) -> Self:
        """Before the first iteration. like: gives dtype and device."""
        first = ascent.start(like)
        none = torch.zeros((count, 0), dtype=torch.float64)
        seeds, momentum = (torch.stack([t] * count) for t in (first.seeds, first.momentum))
        return cls(seeds, momentum, none, none, torch.zeros(count, dtype=torch.int64))

    @property
    def iteration(self) -> int:
        """Iterations so far."""
        return self.scores.shape[1]

    def running(self, early_stop: bool) -> list[int]:
        """Numbers of the masks that have not arrived."""
        rows = range(len(self.used))
        return [n for n in rows if self.used[n] == self.iteration and not (early_stop and self._arrived(n))]

    def next(self, ascent: Ascent, areas: tuple[float, ...], early_stop: bool) -> Progress:
        """One iteration of every mask that is running. The areas do not know of each other."""
        seeds, momentum, used = self.seeds.clone(), self.momentum.clone(), self.used.clone()
        latest = torch.zeros((2, len(areas)), dtype=torch.float64)
        if self.iteration:
            latest = torch.stack((self.scores[:, -1], self.misfits[:, -1]))
        for n in self.running(early_stop):
            state = ascent.step(AscentState(seeds[n], momentum[n]), areas[n], self.iteration)
            seeds[n], momentum[n] = state.seeds, state.momentum
            latest[:, n] = torch.tensor((state.score, state.misfit))
            used[n] += 1
        pasts = (self.scores, self.misfits)
        scores, misfits = (torch.cat((past, now[:, None]), 1) for past, now in zip(pasts, latest, strict=True))
        return Progress(seeds, momentum, scores, misfits, used)

    def _arrived(self, number: int) -> bool:
        return arrived(self.scores[number].tolist(), self.misfits[number].tolist())
