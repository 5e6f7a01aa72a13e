"""Summaries of a set: what is averaged, what is left out and why."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from service.evaluation.measurement import ClipMeasurement
from service.evaluation.measurement_table import MeasurementTable


def rows(
    method: str, numbers: list[float | None], value: str = "area", better: str = "higher"
) -> list[ClipMeasurement]:
    return [
        ClipMeasurement(
            f"clip{index}", method, "insertion", value, number, "" if number is not None else "constant map"
        )
        if number is None
        else ClipMeasurement(f"clip{index}", method, "insertion", value, number, "", better, "probability")
        for index, number in enumerate(numbers)
    ]


def test_mean_deviation_median_and_what_is_left_out():
    # 1, 2, 6: mean 3, squares 4 + 1 + 9 = 14, sd = sqrt(14 / 2).
    given = [*rows("grad-cam", [None, 1, 2, 6, None, math.nan]), *rows("dtd", [0.5]), *rows("clrp", [None])]
    first, second, third = MeasurementTable(given).summaries()
    assert (first.method, first.measure, first.value, first.better, first.unit) == (
        "grad-cam",
        "insertion",
        "area",
        "higher",
        "probability",
    )
    assert (first.mean, first.median, first.n) == (3.0, 2.0, 3)
    assert first.deviation == pytest.approx(math.sqrt(7))
    assert first.left_out == {"constant map": 2, "not finite": 1}
    assert (second.mean, second.deviation, second.n) == (0.5, None, 1)
    assert (third.mean, third.deviation, third.median, third.n, third.left_out) == (
        None,
        None,
        None,
        0,
        {"constant map": 1},
    )


def test_the_order_of_the_rows_changes_nothing():
    generator = random.Random(0)
    # Of such numbers the last digits of a sum depend on the order in which they are added.
    given = rows("a", [(-1) ** k * 10.0 ** (k % 17) for k in range(40)]) + rows("b", [generator.random()] * 40)
    mixed = given[:]
    generator.shuffle(mixed)
    table, other = MeasurementTable(given), MeasurementTable(mixed)
    assert sorted(table.summaries(), key=lambda line: line.method) == sorted(
        other.summaries(), key=lambda line: line.method
    )
    pair = ["a", "b"]
    np.testing.assert_array_equal(table.numbers("insertion", "area", pair), other.numbers("insertion", "area", pair))


def test_numbers_are_by_clip_and_method():
    table = MeasurementTable([*rows("b", [1, None, 3]), *rows("a", [None, 5])])
    assert table.clips == ("clip0", "clip1", "clip2")
    nan = math.nan
    np.testing.assert_array_equal(
        table.numbers("insertion", "area", ["a", "b", "c"]), [[nan, 1, nan], [5, nan, nan], [nan, 3, nan]]
    )
    assert table.values == (("insertion", "area"),)
    assert table.methods("insertion", "area") == ("b", "a")
    assert table.better("insertion", "area") == "higher"


def test_a_clip_that_comes_twice_is_named():
    table = MeasurementTable(rows("a", [1, 2]) + rows("a", [1]))
    with pytest.raises(ValueError, match="clip0 has two rows of insertion area of a"):
        table.numbers("insertion", "area", ["a"])


def test_an_empty_table_is_one():
    table = MeasurementTable()
    assert (table.clips, table.values, table.summaries()) == ((), (), [])
