"""Whether a measure can be trusted on a set: it must prefer the exact mask to a random one; its peers should agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from actionlens.frame_agreement import spearman
from service.evaluation.comparisons import LEVEL, compare_pairs
from service.evaluation.measurement import BASELINES, EXACT_MASK, HIGHER, LOWER, RANDOM, p_text, title_of
from service.evaluation.measurement_table import MeasurementTable, Summary
from service.evaluation.sign_flips import DRAWS


@dataclass(frozen=True)
class Reliability:
    """What the exact mask says about one value of a measure.

    separates: whether it prefers the exact mask to random with p < 0.05; None where that cannot be said. n: clips with
    both. difference: exact minus random, and p of the paired test; None without clips. text: a sentence for people.
    """

    measure: str
    value: str
    separates: bool | None
    n: int
    difference: float | None
    p: float | None
    text: str


def reliability(table: MeasurementTable, seed: int = 0, draws: int = DRAWS) -> list[Reliability]:
    """Test every value that has a direction: is the exact mask better than random on this set?

    The faithfulness of a measure on the case whose answer is known comes before what it says of methods
    (arXiv 2109.00222).
    """
    return [
        _reliability(table, measure, value, seed, draws)
        for measure, value in table.values
        if table.better(measure, value) in (HIGHER, LOWER) and table.methods(measure, value) != ("",)
    ]


def _reliability(table: MeasurementTable, measure: str, value: str, seed: int, draws: int) -> Reliability:
    name = title_of(measure, value)
    compared = compare_pairs(table, measure, value, [(EXACT_MASK, RANDOM)], seed, draws)
    if not compared:
        text = f"{name}: not known whether it separates the exact mask from random; no clip has both"
        return Reliability(measure, value, None, 0, None, None, text)
    (found,) = compared
    n, p, on = found.n, found.p, f"on {'this clip' if found.n == 1 else f'these {found.n} clips'}"
    right = (found.difference > 0) == (table.better(measure, value) == HIGHER) and found.difference != 0
    numbers = f"exact minus random {found.difference:+.3g}, p {p_text(p)}"
    if right and p < LEVEL:
        separates, said = True, f"prefers the exact mask to random {on}"
    elif p < LEVEL:
        separates, said = False, f"prefers random to the exact mask {on}: do not rank methods by it"
    elif 2 ** (1 - n) >= LEVEL:
        separates, said = None, f"cannot be told to separate the exact mask from random {on}: it takes 6 or more"
    else:
        separates, said = False, f"does not separate the exact mask from random {on}: do not rank methods by it"
    return Reliability(measure, value, separates, n, found.difference, p, f"{name} {said} ({numbers})")


@dataclass(frozen=True)
class MeasureAgreement:
    """Spearman's rank correlation of two values over methods: 1 where they rank methods alike.

    first, second: (measure, value). methods: how many have both. rho: of the means, in the direction in which each is
    good.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    methods: int
    rho: float


def measure_agreements(summaries: Sequence[Summary], without: Sequence[str] = BASELINES) -> list[MeasureAgreement]:
    """How far every two values that have a direction agree on the ranking of methods.

    Needs three methods that have both, else the pair is left out; so it is where one of the two ranks all alike.
    without: methods that do not count. The exact mask does not either.
    """
    means: dict[tuple[str, str], dict[str, float]] = {}
    for line in summaries:
        if line.mean is None or line.better not in (HIGHER, LOWER) or line.method in (*without, EXACT_MASK, ""):
            continue
        sign = 1 if line.better == HIGHER else -1
        means.setdefault((line.measure, line.value), {})[line.method] = sign * line.mean
    found = []
    for first, second in combinations(means, 2):
        both = [method for method in means[first] if method in means[second]]
        if len(both) < 3:
            continue
        ours, theirs = (np.array([means[key][method] for method in both]) for key in (first, second))
        if (rho := spearman(ours, theirs)) is not None:
            found.append(MeasureAgreement(first, second, len(both), rho))
    return found
