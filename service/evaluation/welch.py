"""Welch's t-test: do two models have the same mean, on clips of their own?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class WelchTest:
    """difference: of the means, first minus second. p: two-sided."""

    difference: float
    t: float
    degrees: float
    p: float


def welch(first: NDArray[np.float64], second: NDArray[np.float64]) -> WelchTest:
    """Compare the means of two samples [n], [m] of unequal variance (Welch 1947; Satterthwaite's degrees of freedom).

    Raises ValueError below two numbers each, or where neither varies, for then nothing says how far means may stray.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"Welch's test takes two numbers or more of each model, not {len(first)} and {len(second)}")
    shares = [float(sample.var(ddof=1)) / len(sample) for sample in (first, second)]
    variance = sum(shares)
    if variance == 0:
        raise ValueError("Welch's test takes numbers that vary; these are constant")
    difference = float(first.mean() - second.mean())
    t = difference / math.sqrt(variance)
    degrees = variance**2 / sum(
        share**2 / (len(sample) - 1) for share, sample in zip(shares, (first, second), strict=True)
    )
    return WelchTest(difference, t, degrees, student_p(t, degrees))


def student_p(t: float, degrees: float) -> float:
    """P(|T| >= |t|) of Student's t with so many degrees of freedom: I_{d / (d + t^2)}(d / 2, 1 / 2)."""
    square = t * t
    return incomplete_beta(degrees / 2, 0.5, degrees / (degrees + square), square / (degrees + square))


def incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """The regularised incomplete beta function I_x(a, b). rest: 1 - x, given apart since 1 - x may round to 0.

    By its continued fraction (DLMF 8.17.22), on the side of the mean where it converges.
    """
    if x <= 0:
        return 0.0
    if rest <= 0:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, rest, x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest))
    return front / a / _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    """1 + d_1 / (1 + d_2 / (1 + ...)) by Lentz's algorithm."""
    tiny = 1e-300
    value, above, below = 1.0, 1.0, 0.0
    for step in range(1, 10_000):
        m = step // 2
        if step % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        below = 1 / (1 + d * below or tiny)
        above = 1 + d / above or tiny
        value *= above * below
        if abs(above * below - 1) < 1e-15:
            break
    return value
