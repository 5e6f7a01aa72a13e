"""Paired tests and intervals against enumeration and closed forms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from service.evaluation.sign_flips import EXACT_UP_TO, holm, mean_intervals, p_values


def enumerated(differences: NDArray[np.float64]) -> float:
    observed = abs(differences.sum())
    found = [abs(np.dot(signs, differences)) >= observed - 1e-9 for signs in product((-1, 1), repeat=len(differences))]
    return sum(found) / len(found)


def test_a_hand_worked_example():
    # 1, 2, -1: the sum is 2; of +-1 +-2 +-1 six of eight patterns are as far: 4, 2, 2 and their negatives.
    assert p_values(np.array([[1.0], [2.0], [-1.0]])) == pytest.approx([6 / 8])
    # All of one sign: only the pattern itself and its negative.
    assert p_values(np.ones((6, 1))) == pytest.approx([2 / 64])


def test_exact_p_values_are_those_of_all_patterns():
    generator = np.random.default_rng(1)
    for count in (1, 2, 5, 9):
        differences = generator.normal(0.3, 1, (count, 3)).round(1)
        expected = [enumerated(column) for column in differences.T]
        assert p_values(differences) == pytest.approx(expected)


def test_equal_clips_have_no_sign():
    # 20 clips, of which 3 differ: exact over the 2^3 patterns of these.
    differences = np.zeros((20, 2))
    differences[4:7, 0] = [0.1, 0.2, 0.3]
    assert p_values(differences) == pytest.approx([2 / 8, 1])


def test_sums_that_rounding_alone_parts_are_equal():
    # In floating point 0.1 + 0.2 - 0.3 is not 0, and neither is its negative the same distance off.
    assert p_values(np.array([[0.1], [0.2], [-0.3]])) == pytest.approx([1])


def test_sampled_p_values_approach_the_exact_ones_and_are_seeded():
    generator = np.random.default_rng(2)
    differences = generator.normal(0.35, 1, (EXACT_UP_TO, 2))
    exact = p_values(differences)
    # A 17th difference too small to matter makes it sampled.
    sampled = p_values(np.vstack([differences, np.full((1, 2), 1e-9)]), seed=5, draws=40_000)
    assert sampled == pytest.approx(exact, abs=4 * 0.5 / 200)
    again = p_values(np.vstack([differences, np.full((1, 2), 1e-9)]), seed=5, draws=40_000)
    np.testing.assert_array_equal(sampled, again)


def test_a_sampled_p_value_is_never_zero():
    assert p_values(np.ones((40, 1)), draws=99) == pytest.approx([1 / 100])


def test_under_the_hypothesis_one_of_twenty_tests_finds_something():
    differences = np.random.default_rng(3).normal(0, 1, (30, 2000))
    share = (p_values(differences, draws=400) < 0.05).mean()
    assert 0.05 - 4 * 0.005 < share < 0.05 + 4 * 0.005


def test_intervals_are_the_percentiles_of_the_mean():
    # Of n clips that are 0 or 1 with equal shares the mean of a draw is binomial: 95 % lie within 1.96 / (2 sqrt(n)).
    values = np.repeat([0.0, 1.0], 200)[:, None]
    low, high = mean_intervals(values, seed=1, draws=8000)
    assert low == pytest.approx([0.5 - 1.96 * 0.5 / 20], abs=0.004)
    assert high == pytest.approx([0.5 + 1.96 * 0.5 / 20], abs=0.004)
    np.testing.assert_array_equal(mean_intervals(np.full((7, 1), 0.25)), [[0.25], [0.25]])


def test_columns_are_drawn_together():
    values = np.random.default_rng(4).normal(size=(12, 1))
    both = mean_intervals(np.hstack([values, values]), seed=3, draws=500)
    np.testing.assert_array_equal(both[:, 0], both[:, 1])
    np.testing.assert_array_equal(both[:, :1], mean_intervals(values, seed=3, draws=500))


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1: 0.04, 0.06, 0.06 (not below the one before), 0.5.
    assert holm(np.array([0.03, 0.5, 0.01, 0.02])) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1, 1])
    assert holm(np.array([])).shape == (0,)
