"""All masks that are one contiguous window: few enough, for short clips, to try every one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from handlers.explainers.temporal_masks.loss import Loss
from handlers.explainers.temporal_masks.perturbation import Perturbation


@dataclass(frozen=True)
class MaskWindow:
    """The mask that is 1 from frame `first` to frame `last`, both included, and 0 elsewhere."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """In frames."""
        return self.last - self.first + 1

    def mask(self, frames: int) -> Tensor:
        """float32 [frames]."""
        mask = torch.zeros(frames)
        mask[self.first : self.last + 1] = 1
        return mask


def windows(frames: int, perturbation: Perturbation) -> list[MaskWindow]:
    """Every window that changes a clip of so many frames: a single frame can be frozen, but not reversed."""
    shortest = 1 if perturbation is Perturbation.FREEZE else 2
    return [
        MaskWindow(first, last)
        for first in range(perturbation.first, frames)
        for last in range(first + shortest - 1, frames)
    ]


def best_window(
    windows: Sequence[MaskWindow], scores: Tensor, loss: Loss, frames: int, length: int | None = None
) -> tuple[MaskWindow, float] | None:
    """The window with the least loss, of all or of one length, and the score that it leaves; None: there is none.

    scores: float [number of windows] that they leave.
    """
    indices = [index for index, window in enumerate(windows) if length in (None, window.length)]
    if not indices:
        return None
    masks = torch.stack([windows[index].mask(frames) for index in indices])
    best = indices[int((loss.cost(masks) + scores[indices]).argmin())]
    return windows[best], float(scores[best])
