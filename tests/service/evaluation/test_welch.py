"""Welch's test against closed forms of Student's distribution, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from service.evaluation.welch import incomplete_beta, student_p, welch


@pytest.mark.parametrize("t", [0.0, 1e-6, 0.3, 1.0, 2.5, 40.0, 1e9])
def test_student_in_closed_form(t: float):
    # One degree of freedom is Cauchy's distribution, two an algebraic one.
    assert student_p(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(t) if t < 1e6 else 2 / math.pi / t, rel=1e-6)
    rest = math.sqrt(2 + t * t)
    assert student_p(t, 2) == pytest.approx(2 / (rest * (rest + t)), rel=1e-9)
    assert student_p(-t, 2) == student_p(t, 2)


def test_many_degrees_are_normal():
    for t in (0.5, 1.96, 4.0):
        assert student_p(t, 1e7) == pytest.approx(math.erfc(t / math.sqrt(2)), rel=1e-4)


def test_between_by_summing_the_density():
    degrees, t = 5.7, 1.4
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(degrees * math.pi)
    x = (np.arange(200_000) + 0.5) * (t / 200_000)
    inside = 2 * scale * float(((1 + x * x / degrees) ** (-(degrees + 1) / 2)).sum()) * t / 200_000
    assert student_p(t, degrees) == pytest.approx(1 - inside, rel=1e-8)


def test_incomplete_beta_of_whole_numbers_is_a_binomial_tail():
    # I_x(a, b) = P(Bin(a + b - 1, x) >= a).
    for a, b, x in ((2, 3, 0.3), (5, 1, 0.9), (1, 6, 0.05)):
        n = a + b - 1
        tail = sum(math.comb(n, k) * x**k * (1 - x) ** (n - k) for k in range(a, n + 1))
        assert incomplete_beta(a, b, x, 1 - x) == pytest.approx(tail, rel=1e-12)


def test_by_hand():
    # Means 2 and 5, variances 1 and 4 of 3 and 4: standard error^2 = 1/3 + 1, t = -3 / sqrt(4/3);
    # degrees (4/3)^2 / ((1/3)^2 / 2 + 1 / 3) = 16/9 / (7/18) = 32/7.
    spread = math.sqrt(4 * 3 / 4)
    found = welch(np.array([1.0, 2, 3]), np.array([5 - spread, 5 - spread, 5 + spread, 5 + spread]))
    assert found.difference == -3
    assert found.t == pytest.approx(-3 / math.sqrt(4 / 3))
    assert found.degrees == pytest.approx(32 / 7)
    assert found.p == pytest.approx(student_p(found.t, 32 / 7))


@pytest.mark.parametrize(("first", "second"), [([1.0], [1.0, 2.0]), ([1.0, 1.0], [2.0, 2.0])])
def test_what_has_no_test_says_so(first: list[float], second: list[float]):
    with pytest.raises(ValueError, match="Welch's test takes"):
        welch(np.array(first), np.array(second))
