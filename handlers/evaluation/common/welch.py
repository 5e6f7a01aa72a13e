"""Welch's t-test: do two sets of numbers differ in their mean, their variances unknown and not assumed equal?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

_TERMS = 500
_CLOSE = 1e-14


@dataclass(frozen=True)
class WelchTest:
    """t: mean of the first less that of the second in standard errors. freedom: degrees of freedom. p: two-sided."""

    t: float
    freedom: float
    p: float


def welch(first: Sequence[float], second: Sequence[float]) -> WelchTest | None:
    """Compare the means of two samples (Welch, 1947; degrees of freedom by Satterthwaite).

    None where the test says nothing: fewer than two numbers in a sample, or no variance in both.
    """
    if min(len(first), len(second)) < 2:
        return None
    one, other = variance(first) / len(first), variance(second) / len(second)
    if one + other == 0:
        return None
    t = (fmean(first) - fmean(second)) / math.sqrt(one + other)
    freedom = (one + other) ** 2 / (one**2 / (len(first) - 1) + other**2 / (len(second) - 1))
    return WelchTest(t, freedom, two_sided(t, freedom))


def two_sided(t: float, freedom: float) -> float:
    """P(|T| >= |t|) of Student's distribution with so many degrees of freedom (> 0), 0 .. 1."""
    return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), 0 .. 1, for a, b > 0 and x in 0 .. 1.

    By its continued fraction (DLMF 8.17.22), evaluated from the front (Lentz), on the side where it converges fast.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    upper, lower, fraction = 1.0, 0.0, 1.0
    for index in range(_TERMS):
        half = index // 2
        if index == 0:
            term = 1.0
        elif index % 2:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            term = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        lower = 1 / _away(1 + term * lower)
        upper = _away(1 + term / upper)
        fraction *= upper * lower
        if abs(upper * lower - 1) < _CLOSE:
            break
    return front * (fraction - 1)


def _away(value: float) -> float:
    """Not zero, which would be divided by."""
    return value if abs(value) > 1e-300 else 1e-300
