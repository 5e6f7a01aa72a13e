"""Comparisons of methods on the clips that both have."""

from __future__ import annotations

import numpy as np
import pytest

from service.evaluation.comparisons import compare
from service.evaluation.measurement import EXACT_MASK, RANDOM, ClipMeasurement
from service.evaluation.measurement_table import MeasurementTable


def rows(
    method: str, numbers: list[float | None], better: str = "higher", value: str = "area"
) -> list[ClipMeasurement]:
    return [
        ClipMeasurement(f"clip{index}", method, "insertion", value, number, "" if number else "constant map", better)
        for index, number in enumerate(numbers)
    ]


def test_the_clips_that_both_have_count():
    # a - b on the clips 0, 2 and 3: 3, 1, 2.
    (found,) = compare(MeasurementTable([*rows("a", [4, 9, 3, 4]), *rows("b", [1, None, 2, 2])]))
    assert (found.first, found.second, found.n, found.difference) == ("a", "b", 3, 2.0)
    assert (found.p, found.adjusted, found.better) == (0.25, 0.25, "")
    assert 1 <= found.low <= 2 <= found.high <= 3


@pytest.mark.parametrize(("better", "winner"), [("higher", "a"), ("lower", "b"), ("", "")])
def test_the_better_one_is_named_where_the_difference_is_found(better: str, winner: str):
    first, second = [2.0 + index for index in range(8)], [1.0 + 0.9 * index for index in range(8)]
    (found,) = compare(MeasurementTable([*rows("a", first, better), *rows("b", second, better)]))
    assert found.p == pytest.approx(2 / 256)
    assert found.better == winner


def test_holm_is_over_the_pairs_of_one_value():
    methods = {"a": 3.0, "b": 2.0, "c": 1.0}
    given = [
        row
        for method, shift in methods.items()
        for value in ("area", "other")
        for row in rows(method, [shift + 0.1 * index for index in range(1, 7)], value=value)
    ]
    found = compare(MeasurementTable(given))
    assert len(found) == 6
    # Each of three pairs of a value: p = 2 / 64, and three times as much adjusted.
    assert [comparison.p for comparison in found] == pytest.approx([2 / 64] * 6)
    assert [comparison.adjusted for comparison in found] == pytest.approx([3 * 2 / 64] * 6)


def test_methods_are_compared_with_baselines_and_those_with_nothing_else():
    numbers = {"centre": 1.0, "a": 2.0, RANDOM: 1.5, "b": 2.5, EXACT_MASK: 9.0, "": 1.0}
    table = MeasurementTable([row for method, at in numbers.items() for row in rows(method, [at, at + 1])])
    pairs = {(found.first, found.second) for found in compare(table)}
    assert pairs == {("a", "b"), ("a", "centre"), ("a", RANDOM), ("b", "centre"), ("b", RANDOM)}


def test_pairs_without_a_common_clip_are_left_out():
    assert compare(MeasurementTable([*rows("a", [1, None]), *rows("b", [None, 1])])) == []


def test_the_seed_and_the_clips_decide_not_their_order():
    generator = np.random.default_rng(0)
    given = [row for method in "abc" for row in rows(method, [*generator.random(30)])]
    found = compare(MeasurementTable(given), seed=4, draws=500)
    given[20], given[5] = given[5], given[20]
    given.append(given.pop(0))
    assert compare(MeasurementTable(given), seed=4, draws=500) == found
