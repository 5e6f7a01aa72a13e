"""The relevance rules: which there are, the choices that they leave open, and where each is computed.

| rule | of | equation | computed in |
|---|---|---|---|
| z+, alpha-beta, gamma | convolution, linear | `ZPlus`, `AlphaBeta`, `Gamma` | operations/weighted_rules.py |
| zB | layers that read the clip | `Rules` | operations/weighted_rules.py, `shares_of`, first case |
| identity, folded | batch norm | `NormRule` | operations/pointwise.py `Norm`, operations/weighted.py |
| proportional, positive | sum of two branches | `AddRule` | operations/pointwise.py `Add` |
| epsilon, in the limit 0 | averages | R_i = x_i / sum x R | operations/average_pool.py |
| winner takes all | max pooling | R_i = R of the output that x_i won | operations/max_pool.py |
| signal takes all | gates: swish, GELU, sigmoid | R_in = R_out | operations/gated.py |
| weights held constant | attention, layer norm | R = x * (transposed map of R / y) | operations/attention.py |
| z+ by the unit's sign | LSTM | its docstring | operations/recurrence.py |

Operations below which rows and frames can meet have the transpose of their rule too, for the frames' fractions of
temporal relevance: `portions` of the same class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class NormRule(StrEnum):
    """How batch norm passes relevance on. Folding equals the identity only where gamma > 0."""

    IDENTITY = "identity"
    FOLD = "fold"


class AddRule(StrEnum):
    """How a sum shares its relevance among its terms: by their values, or by their positive parts."""

    PROPORTIONAL = "proportional"
    POSITIVE = "positive"


@dataclass(frozen=True)
class ZPlus:
    """R_i = sum_j (x_i+ w_ij+ + x_i- w_ij-) / z_j R_j, z_j the sum of the numerators (ATR paper, 3.1)."""


@dataclass(frozen=True)
class AlphaBeta:
    """R_i = sum_j (alpha p_ij / p_j - beta n_ij / n_j) R_j, p and n the positive and negative products x_i w_ij.

    Conserves relevance for alpha - beta = 1; alpha = 1, beta = 0 is z+.
    """

    alpha: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.alpha) and math.isfinite(self.beta)) or self.alpha <= 0 or self.beta < 0:
            raise ValueError("alpha, beta: must be finite, alpha above 0 and beta not below")


@dataclass(frozen=True)
class Gamma:
    """z+ softened: every product keeps its sign, those of the output's sign count 1 + gamma times."""

    gamma: float = 0.25

    def __post_init__(self) -> None:
        if not math.isfinite(self.gamma) or self.gamma < 0:
            raise ValueError("gamma: must be finite and not negative")


ConvolutionRule = ZPlus | AlphaBeta | Gamma


@dataclass(frozen=True)
class Rules:
    """The rules of one traced model.

    convolution: rule of convolutions and linear layers. norm, add: see their types. low, high: smallest and
    largest value that each channel of the *normalised* clip can take, [C] each; with them the layers that read
    the clip use zB, without them the same rule as all others. zB (DTD, box constraint low <= x <= high):
    R_i = sum_j (x_i w_ij - low_i w_ij+ - high_i w_ij-) / z_j R_j, z_j the sum of the numerators over i. A value outside
    of its box counts as at its border.
    """

    convolution: ConvolutionRule = field(default_factory=ZPlus)
    norm: NormRule = NormRule.IDENTITY
    add: AddRule = AddRule.PROPORTIONAL
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError("low, high: give both bounds or neither")
        if self.low is not None and self.high is not None:
            if len(self.low) != len(self.high):
                raise ValueError(f"low, high: {len(self.low)} and {len(self.high)} channels")
            if not all(a <= b for a, b in zip(self.low, self.high, strict=True)):
                raise ValueError("low, high: low must not be above high in any channel")


def bounds_of_pixels(mean: Sequence[float], std: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Bounds (low, high) of a clip normalised as (pixel / 255 - mean) / std, per channel."""
    low = tuple(-m / s for m, s in zip(mean, std, strict=True))
    high = tuple((1.0 - m) / s for m, s in zip(mean, std, strict=True))
    return low, high
