"""The loss of a mask: its length, its changes, and the score that it leaves (Eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


def total_variation(mask: Tensor, power: float) -> Tensor:
    """Sum of |m_(t+1) - m_t|^power over the last axis; power >= 1, so its gradient is finite on a constant mask."""
    return mask.diff(dim=-1).abs().pow(power).sum(-1)


@dataclass(frozen=True)
class Loss:
    """Eq. 1: sparsity |m|_1 + smoothness TV(m)^power + score."""

    sparsity: float
    smoothness: float
    power: float

    def cost(self, mask: Tensor) -> Tensor:
        """[...] of masks float [..., T] in 0 .. 1: what the mask itself costs, before the score that it leaves."""
        return self.sparsity * mask.sum(-1) + self.smoothness * total_variation(mask, self.power)
