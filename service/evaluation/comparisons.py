"""Every two methods of a set compared on the clips that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from service.evaluation.measurement import BASELINES, EXACT_MASK, HIGHER, LOWER
from service.evaluation.measurement_table import MeasurementTable
from service.evaluation.sign_flips import DRAWS, holm, mean_intervals, p_values

LEVEL = 0.05
"""What a p-value must be below for a difference to count as found."""


@dataclass(frozen=True)
class Comparison:
    """Two methods by one value of a measure.

    n: clips that both have. difference: mean of first minus second; low, high: its 95 % bootstrap interval. p: of the
    paired sign-flip test. adjusted: p by Holm over all comparisons of the value. better: the method that is better
    with adjusted < 0.05, "" where neither is, or the value has no direction.
    """

    measure: str
    value: str
    first: str
    second: str
    n: int
    difference: float
    low: float
    high: float
    p: float
    adjusted: float
    better: str


def compare(
    table: MeasurementTable, seed: int = 0, draws: int = DRAWS, baselines: Sequence[str] = BASELINES
) -> list[Comparison]:
    """Compare every two methods, and every method with every baseline, by each value of each measure.

    Baselines are not compared with each other, nor the exact mask with anything, which is no method; so neither costs
    the others significance. Pairs that share no clip are left out. seed: of draws.
    """
    found = []
    for measure, value in table.values:
        methods = [method for method in table.methods(measure, value) if method not in (EXACT_MASK, "")]
        pairs = [pair for pair in combinations(methods, 2) if not set(pair) <= set(baselines)]
        # The baseline second: the difference is then what the method gains.
        pairs = [(second, first) if first in baselines else (first, second) for first, second in pairs]
        found += compare_pairs(table, measure, value, pairs, seed, draws)
    return found


def compare_pairs(
    table: MeasurementTable,
    measure: str,
    value: str,
    pairs: Sequence[tuple[str, str]],
    seed: int = 0,
    draws: int = DRAWS,
) -> list[Comparison]:
    """Compare these pairs of methods by one value; Holm's correction is over them. Pairs that share no clip are left
    out."""
    methods = list(dict.fromkeys(method for pair in pairs for method in pair))
    numbers = dict(zip(methods, table.numbers(measure, value, methods).T, strict=True))
    better = table.better(measure, value)
    # Pairs on the same clips are tested together: the draws are made once.
    together: dict[bytes, list[tuple[int, NDArray[np.float64]]]] = {}
    for place, (first, second) in enumerate(pairs):
        difference = numbers[first] - numbers[second]
        both = np.isfinite(difference)
        if both.any():
            together.setdefault(both.tobytes(), []).append((place, difference[both]))
    found: dict[int, Comparison] = {}
    for group in together.values():
        differences = np.stack([difference for _, difference in group], axis=1)
        p, (low, high) = p_values(differences, seed, draws), mean_intervals(differences, seed)
        for column, (place, difference) in enumerate(group):
            first, second = pairs[place]
            found[place] = Comparison(
                measure=measure,
                value=value,
                first=first,
                second=second,
                n=len(difference),
                difference=float(difference.mean()),
                low=float(low[column]),
                high=float(high[column]),
                p=float(p[column]),
                adjusted=1.0,
                better="",
            )
    compared = [found[place] for place in sorted(found)]
    adjusted = holm(np.array([comparison.p for comparison in compared]))
    return [
        replace(comparison, adjusted=float(own), better=_better(comparison, float(own), better))
        for comparison, own in zip(compared, adjusted, strict=True)
    ]


def _better(comparison: Comparison, adjusted: float, better: str) -> str:
    if adjusted >= LEVEL or comparison.difference == 0 or better not in (HIGHER, LOWER):
        return ""
    return comparison.first if (comparison.difference > 0) == (better == HIGHER) else comparison.second
