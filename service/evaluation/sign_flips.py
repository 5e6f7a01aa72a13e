"""Paired tests by flipping signs, and intervals by drawing clips again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EXACT_UP_TO = 16
"""Most differences of which all sign patterns are counted."""

DRAWS = 10_000
"""Sign patterns that are drawn where not all are counted: p-values down to 0.0001."""

RESAMPLES = 2_000
"""Sets of clips that are drawn for an interval."""

_BLOCK = 1 << 22
"""Most random signs, or draws of clips, in memory at once."""


def p_values(differences: NDArray[np.float64], seed: int = 0, draws: int = DRAWS) -> NDArray[np.float64]:
    """Two-sided p-values of the hypothesis that each difference is as likely to have the other sign; float64 [k].

    differences: finite, float64 [n, k], of n clips for each of k pairs of methods. p is the share of sign patterns
    whose sum is at least as far from 0 as the one found. With up to 16 differences that are not 0 it is exact, over all
    2^n patterns; beyond, of `draws` patterns that follow from the seed, (1 + as far) / (1 + draws), which is never
    too small (Phipson and Smyth 2010). 1 where nothing differs: a difference of 0 has no sign.
    """
    found = np.ones(differences.shape[1])
    few = (differences != 0).sum(0) <= EXACT_UP_TO
    for pair in np.flatnonzero(few):
        found[pair] = _exact(differences[:, pair])
    if not few.all():
        found[~few] = _sampled(differences[:, ~few], seed, draws)
    return found


def _exact(differences: NDArray[np.float64]) -> float:
    sizes = np.abs(differences[differences != 0])
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return float((np.abs(sums) >= _as_far(differences)).mean())


def _sampled(differences: NDArray[np.float64], seed: int, draws: int) -> NDArray[np.float64]:
    generator, count = np.random.default_rng(seed), len(differences)
    bound = np.array([_as_far(column) for column in differences.T])
    further = np.zeros(len(bound))
    for start in range(0, draws, block := max(_BLOCK // count, 1)):
        size = min(block, draws - start)
        drawn = np.frombuffer(generator.bytes(-(-size * count // 8)), dtype=np.uint8)
        plus = np.unpackbits(drawn, count=size * count).reshape(size, count)
        # The sum with signs is twice that of the positive ones less the sum of all.
        further += (np.abs(2 * (plus.astype(np.float64) @ differences) - differences.sum(0)) >= bound).sum(0)
    return (1 + further) / (1 + draws)


def _as_far(differences: NDArray[np.float64]) -> float:
    """The size of the sum found, less what rounding may take from an equal one."""
    return float(np.abs(differences.sum()) - 1e-12 * np.abs(differences).sum())


def mean_intervals(
    values: NDArray[np.float64], seed: int = 0, draws: int = RESAMPLES, level: float = 0.95
) -> NDArray[np.float64]:
    """Bootstrap intervals of means (percentiles; Efron 1979): float64 [2, k], lower and upper ends.

    values: finite, float64 [n, k], n >= 1. Each draw takes n clips with replacement, the same ones for every column.
    Of few clips (below ten or so) such an interval is too narrow.
    """
    generator, count = np.random.default_rng(seed), len(values)
    means = np.empty((draws, values.shape[1]))
    for start in range(0, draws, block := max(_BLOCK // count, 1)):
        size = min(block, draws - start)
        taken = generator.integers(0, count, (size, count)) + np.arange(size)[:, None] * count
        times = np.bincount(taken.ravel(), minlength=size * count).reshape(size, count)
        means[start : start + size] = times @ values / count
    tail = (1 - level) / 2
    return np.quantile(means, [tail, 1 - tail], axis=0)


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values [k] of k comparisons, adjusted so that any false finding among all has at most the level's chance.

    Holm 1979: the i-th smallest times k + 1 - i, at least as large as those before it, at most 1.
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted
