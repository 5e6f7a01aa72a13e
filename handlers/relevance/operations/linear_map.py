"""A linear layer's matrix with the same two directions as a convolution kernel."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(eq=False)
class LinearMap:
    """y = x weight^T for weight [O, D] and x [N, ..., D]."""

    weight: Tensor

    def apply(self, x: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
        """x [N, ..., D] -> [N, ..., O], plus bias [O], rectified if asked."""
        y = F.linear(x, self.weight, bias)
        return F.relu_(y) if relu else y

    def transpose(self, y: Tensor, size: tuple[int, ...]) -> Tensor:
        """y [N, ..., O] -> [N, ..., D]; size is not needed."""
        return y @ self.weight
