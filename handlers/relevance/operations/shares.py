"""The rules of convolutions and linear layers, as sums of linear maps with positive or negative weights only.

Every rule here has the form  R_i = sum over shares s of  c_s * sum over parts p of  x_p,i (w_p^T (R / z_s))_i,
z_s = sum over parts of w_p x_p:  a *part* is a piece of the input (its positive entries, say) with the weights
that it meets, a *share* is a group of parts with one denominator.

* z+ (ATR paper 3.1, DTD):  one share, (x+, w+) and (x-, w-).
* zB at the clip (DTD, box constraint low <= x <= high):  one share, (x - low, w+) and (x - high, w-), which is
  x w - low w+ - high w- written without cancellation.
* alpha-beta:  alpha times the z+ share minus beta times the share (x+, w-), (x-, w+).
* gamma:  z+-like share for outputs above 0, its mirror image below, each with w + gamma w+-.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from torch import Tensor

from handlers.relevance.rules import AlphaBeta, ConvolutionRule, Gamma, ZPlus

Map = TypeVar("Map")


class Piece(Enum):
    """A piece of the input."""

    WHOLE = "x"
    POSITIVE = "x+"
    NEGATIVE = "x-"
    ABOVE_LOW = "x - low"
    BELOW_HIGH = "x - high"


@dataclass(frozen=True, eq=False)
class Part(Generic[Map]):
    """A piece of the input and the linear map that it meets."""

    piece: Piece
    map: Map


@dataclass(frozen=True, eq=False)
class Share(Generic[Map]):
    """Parts with one denominator of a known sign (0: either).

    selects: only outputs above 0 take part in the first share, only those below 0 in the second.
    """

    coefficient: float
    sign: int
    parts: tuple[Part[Map], ...]
    selects: bool = False


def shares_of(
    rule: ConvolutionRule, weight: Tensor, build: Callable[[Tensor], Map], reads_clip: bool, not_negative: bool
) -> tuple[Share[Map], ...]:
    """The shares of one layer. reads_clip: zB applies. not_negative: the input has no negative entries."""
    up, down = weight.clamp(min=0), weight.clamp(max=0)
    if reads_clip:
        return (Share(1.0, 1, (Part(Piece.ABOVE_LOW, build(up)), Part(Piece.BELOW_HIGH, build(down)))),)

    def share(coefficient: float, sign: int, of_positive: Tensor, of_negative: Tensor, selects: bool) -> Share[Map]:
        if not_negative:
            return Share(coefficient, sign, (Part(Piece.WHOLE, build(of_positive)),), selects)
        parts = (Part(Piece.POSITIVE, build(of_positive)), Part(Piece.NEGATIVE, build(of_negative)))
        return Share(coefficient, sign, parts, selects)

    match rule:
        case ZPlus():
            return (share(1.0, 1, up, down, False),)
        case AlphaBeta(alpha, beta):
            found = [share(alpha, 1, up, down, False), share(-beta, -1, down, up, False)]
            return tuple(s for s in found if s.coefficient != 0)
        case Gamma(gamma):
            more, less = weight + gamma * up, weight + gamma * down
            return (share(1.0, 0, more, less, True), share(1.0, 0, less, more, True))
