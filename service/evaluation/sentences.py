"""Says in words what the tests of an evaluated set found."""

from __future__ import annotations

from collections.abc import Sequence

from service.evaluation.comparisons import LEVEL, Comparison
from service.evaluation.evaluated_set import EvaluatedSet
from service.evaluation.measurement import HIGHER, LOWER, p_text, title_of

FEWEST = 6
"""Clips below which the paired test cannot find anything: 2 of 2^5 sign patterns are more than 5 %."""


def direction(better: str) -> str:
    """Which way is good, in words; empty where neither is."""
    return {HIGHER: "higher is better", LOWER: "lower is better"}.get(better, "")


def compared(comparison: Comparison) -> str:
    """One comparison in one sentence."""
    name = title_of(comparison.measure, comparison.value)
    numbers = (
        f"{comparison.difference:+.3g}, 95 % {comparison.low:+.3g} to {comparison.high:+.3g}, "
        f"p {p_text(comparison.adjusted)}, {comparison.n} clips"
    )
    if comparison.better:
        other = comparison.second if comparison.better == comparison.first else comparison.first
        return f"{name}: {comparison.better} is better than {other} ({numbers})"
    if comparison.adjusted < LEVEL:
        return f"{name}: {comparison.first} and {comparison.second} differ ({numbers})"
    why = f"; it takes {FEWEST} clips or more" if comparison.n < FEWEST else ""
    return f"{name}: no difference found between {comparison.first} and {comparison.second} ({numbers}){why}"


def findings(found: EvaluatedSet) -> list[str]:
    """The comparisons by the measures' own numbers in few sentences: each difference, and the pairs without one."""
    said: list[str] = []
    without: dict[str, list[tuple[str, str]]] = {}
    for comparison in own_comparisons(found):
        if comparison.adjusted < LEVEL:
            said.append(compared(comparison))
        else:
            pair = (comparison.first, comparison.second)
            without.setdefault(title_of(comparison.measure, comparison.value), []).append(pair)
    return said + [f"{name}: no difference found between {_pairs(pairs)}" for name, pairs in without.items()]


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    """Pairs of methods; where they are all that their methods make, the methods."""
    methods = dict.fromkeys(method for pair in pairs for method in pair)
    if len(methods) > 2 and len(pairs) == len(methods) * (len(methods) - 1) // 2:
        return f"any two of {', '.join(methods)}"
    return "; ".join(f"{first} and {second}" for first, second in pairs)


def own_comparisons(found: EvaluatedSet) -> list[Comparison]:
    """Comparisons by the numbers that the measures are about, where one way is better."""
    own = {(measure, found.own_value(measure)) for measure in found.measures}
    return [
        comparison
        for comparison in found.comparisons
        if (comparison.measure, comparison.value) in own
        and found.table.better(comparison.measure, comparison.value) in (HIGHER, LOWER)
    ]


def warnings(found: EvaluatedSet) -> list[str]:
    """What to know before the table is believed: values that do not tell the exact mask from random, few clips."""
    own = {(measure, found.own_value(measure)) for measure in found.measures}
    said = [entry.text for entry in found.reliability if not entry.separates and (entry.measure, entry.value) in own]
    if 0 < len(found.clips) < FEWEST:
        show = _counted(len(found.clips), "clip shows", "clips show")
        said.insert(0, f"{show} no significant difference, however large; take {FEWEST} or more")
    if found.failed:
        said.insert(
            0, _counted(len(found.failed), "clip has no result and is", "clips have no result and are") + " in no mean"
        )
    return said


def left_out(found: EvaluatedSet) -> list[str]:
    """What has no number and why, alike reasons together: "pointing-game of dtd, atr: 3 of 10 clips left out: ..."."""
    values: dict[tuple[str, str, str, int], list[str]] = {}
    totals: dict[tuple[str, str], int] = {}
    for line in found.summaries:
        key = (line.measure, line.method)
        totals[key] = max(totals.get(key, 0), line.n + sum(line.left_out.values()))
        for reason, count in line.left_out.items():
            values.setdefault((*key, reason, count), []).append(line.value)
    methods: dict[tuple[str, str, int, int], list[str]] = {}
    for (measure, method, reason, count), without in values.items():
        every = [value for own, value in found.values if own == measure]
        name = measure if len(without) == len(every) else f"{measure} {', '.join(without)}"
        methods.setdefault((name, reason, count, totals[measure, method]), []).append(method)
    return [
        f"{name}{_of(names)}: {count} of {total} clips left out: {reason}"
        for (name, reason, count, total), names in methods.items()
    ]


def _counted(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def _of(methods: Sequence[str]) -> str:
    names = [name for name in dict.fromkeys(methods) if name]
    return f" of {', '.join(names)}" if names else ""
