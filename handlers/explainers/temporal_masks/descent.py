"""Learning a mask: Adam on the logits of the mask, one step at a time, from any process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

_RATE = 0.2
_START = 5.0
"""The mask starts at sigmoid(+-5) = 0.993 and 0.007: as good as perturbed and not, and Adam turns it in 25 steps."""


@dataclass(frozen=True)
class Descent:
    """Where the descent stands. logits, mean, square: float32 [T], Adam's moments among them; steps: done so far."""

    logits: Tensor
    mean: Tensor
    square: Tensor
    steps: int = 0

    @staticmethod
    def start(mask: Tensor) -> Tensor:
        """Logits to start from for a mask of 0 and 1, float [T]."""
        return _START * (2 * mask - 1)

    def stepped(self, gradient: Tensor) -> Self:
        """After one step of Adam against a gradient of the logits, float [T]."""
        logits = self.logits.detach().clone()
        logits.grad = gradient
        adam = torch.optim.Adam([logits], lr=_RATE)
        adam.state[logits] = {
            "step": torch.tensor(float(self.steps)),
            "exp_avg": self.mean.clone(),
            "exp_avg_sq": self.square.clone(),
        }
        adam.step()
        after = adam.state[logits]
        return type(self)(logits, after["exp_avg"], after["exp_avg_sq"], self.steps + 1)
