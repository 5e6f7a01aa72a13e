"""Shapley values from the values of some of the subsequences."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handlers.explainers.shapley.exact import Shapley


@dataclass(frozen=True)
class Sums:
    """Values summed over the sampled subsequences of s = 1 .. n elements.

    within: float32 [n, n, K], over those of s + 1 that have element i; counts: int64 [n, n], how many those are.
    totals: float32 [n, K] and drawn: int64 [n], the same over all.
    """

    within: Tensor
    counts: Tensor
    totals: Tensor
    drawn: Tensor

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.within + other.within,
            self.counts + other.counts,
            self.totals + other.totals,
            self.drawn + other.drawn,
        )

    def shapley(self, empty: Tensor) -> Shapley:
        """The estimate from all that was summed.

        A scale at which no subsequence with, or none without, an element was drawn says nothing about that element
        (NaN in Algorithm 1); the mean of its other scales stands in, and 0 where there is none.
        """
        count = len(self.drawn)
        with_element = self.within.double() / self.counts[..., None]
        absent = self.drawn[:-1, None] - self.counts[:-1]
        without = (self.totals[:-1, None] - self.within[:-1]).double() / absent[..., None]
        before = torch.cat([empty.double().expand(1, count, -1), without])
        marginals = with_element - before
        known = torch.cat([self.counts[:1] > 0, (self.counts[1:] > 0) & (absent > 0)])[..., None]
        filled = marginals.where(known, torch.nan).nanmean(0, keepdim=True).nan_to_num()
        marginals = marginals.where(known, filled)
        whole = (self.totals[-1] / self.drawn[-1].clamp(min=1)).double()
        return Shapley(marginals, whole, empty.double())


def sums_of(has: Tensor, values: Tensor) -> Sums:
    """has: bool [m, n], which elements each of m subsequences has, at least one. values: [m, K]. m may be 0."""
    count, classes = has.shape[1], values.shape[1]
    sizes = has.sum(1)
    within, totals = torch.zeros(count, count, classes), torch.zeros(count, classes)
    counts, drawn = torch.zeros(count, count, dtype=torch.int64), torch.zeros(count, dtype=torch.int64)
    for size in range(count):
        at = sizes == size + 1
        own, found = has[at], values[at]
        within[size], totals[size] = own.T.to(found.dtype) @ found, found.sum(0)
        counts[size], drawn[size] = own.sum(0), len(own)
    return Sums(within, counts, totals, drawn)
