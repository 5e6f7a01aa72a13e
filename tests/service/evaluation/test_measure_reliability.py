"""What is said of a measure that cannot tell the exact mask from a random one, and how measures agree."""

from __future__ import annotations

import math

import numpy as np
import pytest

from service.evaluation.measure_reliability import measure_agreements, reliability, spearman
from service.evaluation.measurement import EXACT_MASK, RANDOM, ClipMeasurement
from service.evaluation.measurement_table import MeasurementTable


def table(exact: list[float], random: list[float], better: str = "higher", value: str = "area") -> MeasurementTable:
    return MeasurementTable(
        ClipMeasurement(f"clip{index}", method, "insertion", value, number, "", better)
        for method, numbers in ((EXACT_MASK, exact), (RANDOM, random))
        for index, number in enumerate(numbers)
    )


HIGH, LOW = [0.9, 0.8, 0.95, 0.7, 0.85, 0.9], [0.2, 0.3, 0.25, 0.1, 0.3, 0.2]


@pytest.mark.parametrize(("better", "separates"), [("higher", True), ("lower", False)])
def test_the_exact_mask_must_be_better(better: str, separates: bool):
    (found,) = reliability(table(HIGH, LOW, better))
    assert found.separates is separates
    assert (found.n, found.p) == (6, 2 / 64)
    said = "prefers the exact mask to random" if separates else "prefers random to the exact mask"
    assert said in found.text
    assert "these 6 clips" in found.text
    assert ("do not rank" in found.text) is not separates


def test_no_difference_is_said_in_words():
    (found,) = reliability(table(HIGH, [0.95, 0.7, 0.99, 0.6, 0.9, 0.85]))
    assert found.separates is False
    assert "does not separate the exact mask from random on these 6 clips: do not rank methods by it" in found.text
    assert f"p = {found.p:.2g}" in found.text
    (same,) = reliability(table(HIGH, HIGH))
    assert (same.separates, same.p, same.difference) == (False, 1.0, 0.0)


def test_too_few_clips_say_nothing():
    (found,) = reliability(table(HIGH[:5], LOW[:5]))
    assert found.separates is None
    assert "it takes 6 or more" in found.text


def test_without_exact_masks_nothing_is_known():
    given = MeasurementTable([ClipMeasurement("c", "dtd", "insertion", "area", 1.0, "", "higher")])
    (found,) = reliability(given)
    assert (found.separates, found.n, found.p) == (None, 0, None)
    assert "not known" in found.text


def test_values_without_a_direction_are_not_judged():
    assert reliability(table(HIGH, LOW, better="")) == []


def test_spearman_by_hand():
    # Ranks 0 1 2 3 against 1 0 2 3: 1 - 6 (1 + 1) / (4 * 15) = 0.8.
    assert spearman(np.array([1.0, 5, 6, 70]), np.array([3.0, 2, 5, 9])) == pytest.approx(0.8)
    # Ties have their mean rank: 0.5 0.5 2 against 0 1 2, covariance 1.5, variances 1.5 and 2.
    assert spearman(np.array([4.0, 4, 9]), np.array([1.0, 2, 3])) == pytest.approx(1.5 / math.sqrt(1.5 * 2))
    assert spearman(np.array([1.0, 1]), np.array([1.0, 2])) is None


def test_measures_agree_in_the_direction_in_which_each_is_good():
    numbers = {"a": (0.9, -1.0), "b": (0.8, 0.5), "c": (0.5, 2.0), RANDOM: (1.0, 9.0), EXACT_MASK: (0.0, -9.0)}
    summaries = MeasurementTable(
        row
        for method, (insertion, saliency) in numbers.items()
        for row in (
            ClipMeasurement("c", method, "insertion", "area", insertion, "", "higher"),
            ClipMeasurement("c", method, "saliency-metric", "s50", saliency, "", "lower"),
            ClipMeasurement("c", method, "insertion", "tied", 0.1),
        )
    ).summaries()
    (found,) = measure_agreements(summaries)
    assert (found.first, found.second) == (("insertion", "area"), ("saliency-metric", "s50"))
    assert (found.methods, found.rho) == (3, pytest.approx(1.0))
    assert measure_agreements([line for line in summaries if line.method != "a"]) == []
