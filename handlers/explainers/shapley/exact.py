"""Shapley values from the value of every subsequence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from handlers.explainers.shapley.subsets import levels


@dataclass(frozen=True)
class Shapley:
    """Shapley values of n elements for K classes.

    marginals: float64 [n, n, K], [s, i]: the mean gain by element i over all subsequences of s others. whole, empty:
    float64 [K], the value of all elements and of none.
    """

    marginals: Tensor
    whole: Tensor
    empty: Tensor

    @property
    def values(self) -> Tensor:
        """float64 [n, K]: the mean over the scales (Play Fair, Eq. 7)."""
        return self.marginals.mean(0)


def shapley(values: Iterable[Tensor], empty: Tensor, count: int) -> Shapley:
    """Exact Shapley values of `count` elements.

    values: for every level of `levels(count)`, in order, the values [C(n, s), K] of its subsequences. empty: [K].
    Each level is read once and may be freed before the next one.
    """
    sums = [level.contains.to(found.dtype) @ found for level, found in zip(levels(count), values, strict=True)]
    with_element = torch.stack([torch.zeros_like(sums[0]), *sums]).double()
    sizes = torch.arange(1, count + 1, dtype=torch.float64)
    totals = with_element.sum(1)
    totals[0] = empty
    totals[1:] /= sizes[:, None]  # each subsequence was counted by each of its elements
    without = totals[:, None] - with_element
    counts = torch.tensor([math.comb(count - 1, size) for size in range(count)], dtype=torch.float64)
    marginals = (with_element[1:] - without[:-1]) / counts[:, None, None]
    return Shapley(marginals, totals[count], totals[0])
