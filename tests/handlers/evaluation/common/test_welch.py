"""Welch's test against closed forms and a worked example."""

from __future__ import annotations

import math

import pytest

from handlers.evaluation.common.welch import incomplete_beta, two_sided, welch


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 2.5, 40.0])
def test_students_tail_has_closed_forms_for_one_two_and_four_degrees_of_freedom(t: float) -> None:
    assert two_sided(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(t), rel=1e-9, abs=1e-14)
    assert two_sided(t, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-8, abs=1e-14)
    z = t / math.sqrt(4 + t * t)
    assert two_sided(t, 4) == pytest.approx(1 - (1.5 * z - 0.5 * z**3), rel=1e-6, abs=1e-12)
    assert two_sided(-t, 4) == two_sided(t, 4)


def test_many_degrees_of_freedom_are_the_normal_distribution() -> None:
    assert two_sided(1.959964, 1e7) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize(("a", "b", "x"), [(3, 2, 0.4), (3, 2, 0.9), (2, 5, 0.1), (6, 1, 0.5)])
def test_incomplete_beta_of_whole_numbers_is_a_binomial_tail(a: int, b: int, x: float) -> None:
    n = a + b - 1
    tail = sum(math.comb(n, k) * x**k * (1 - x) ** (n - k) for k in range(a, n + 1))
    assert incomplete_beta(a, b, x) == pytest.approx(tail, rel=1e-12)


def test_a_worked_example() -> None:
    # Means 2 and 5, variances 1 and 4, n = 3 and 3: t = -3 / sqrt(1/3 + 4/3) = -2.3238;
    # freedom = (5/3)^2 / ((1/9 + 16/9) / 2) = 50 / 17.
    found = welch([1, 2, 3], [3, 5, 7])
    assert found is not None
    assert found.t == pytest.approx(-3 / math.sqrt(5 / 3))
    assert found.freedom == pytest.approx(50 / 17)
    assert found.p == pytest.approx(two_sided(found.t, 50 / 17))
    assert 0.05 < found.p < 0.15


@pytest.mark.parametrize("pair", [([1.0], [1.0, 2.0]), ([2.0, 2.0], [3.0, 3.0])])
def test_none_where_it_says_nothing(pair: tuple[list[float], list[float]]) -> None:
    assert welch(*pair) is None
