"""The rules of convolutions and linear layers, as sums of linear maps with positive or negative weights only.

Every rule here has the form  R_i = sum over shares s of  c_s * sum over pieces p of  x_p,i (w_p^T (R / z_s))_i,
z_s = sum over pieces of w_p x_p:  a *piece* is a part of the input (its positive entries, say), which meets weights of
its own; a *share* is a group of pieces with one denominator. The pieces of a share lie side by side as channels of one
input, so that each share is one map.

`shares_of` holds all of them, in this order but for zB, its first case:

* z+ (ATR paper 3.1, DTD; equation: `rules.ZPlus`):  one share, (x+, w+) and (x-, w-).
* zB at the clip (DTD, box constraint low <= x <= high; equation: `rules.Rules`):  one share, (x - low, w+) and
  (x - high, w-), which is x w - low w+ - high w- written without cancellation; 0 where x leaves the box.
* alpha-beta:  alpha times the z+ share minus beta times the share (x+, w-), (x-, w+).
* gamma:  z+-like share for outputs above 0, its mirror image below, each with w + gamma w+-.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

import torch
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
class Share(Generic[Map]):
    """Pieces with one denominator of a known sign (0: either), and the map from all of them to it.

    selects: only outputs above 0 take part in the first share, only those below 0 in the second.
    """

    coefficient: float
    sign: int
    pieces: tuple[Piece, ...]
    map: Map
    selects: bool = False


def shares_of(
    rule: ConvolutionRule, weight: Tensor, build: Callable[[Tensor], Map], reads_clip: bool, not_negative: bool
) -> tuple[Share[Map], ...]:
    """The shares of one layer with weight [O, C / groups, ...]. reads_clip: zB applies. not_negative: x has no x-."""
    up, down = weight.clamp(min=0), weight.clamp(max=0)
    if reads_clip:  # zB: (x - low) w+ + (x - high) w-
        return (Share(1.0, 1, (Piece.ABOVE_LOW, Piece.BELOW_HIGH), build(torch.cat([up, down], 1))),)

    def share(coefficient: float, sign: int, of_positive: Tensor, of_negative: Tensor, selects: bool) -> Share[Map]:
        if not_negative:
            return Share(coefficient, sign, (Piece.WHOLE,), build(of_positive), selects)
        both = build(torch.cat([of_positive, of_negative], 1))
        return Share(coefficient, sign, (Piece.POSITIVE, Piece.NEGATIVE), both, selects)

    match rule:
        case ZPlus():
            return (share(1.0, 1, up, down, False),)
        case AlphaBeta(alpha, beta):
            found = [share(alpha, 1, up, down, False), share(-beta, -1, down, up, False)]
            return tuple(s for s in found if s.coefficient != 0)
        case Gamma(gamma):
            more, less = weight + gamma * up, weight + gamma * down
            return (share(1.0, 0, more, less, True), share(1.0, 0, less, more, True))


def side_by_side(pieces: Sequence[Tensor], axis: int, groups: int) -> Tensor:
    """Pieces of one shape as the input of a share's map: along the channels, group by group."""
    if len(pieces) == 1:
        return pieces[0]
    if groups == 1:
        return torch.cat(list(pieces), axis)
    split = [torch.unflatten(piece, axis, (groups, -1)) for piece in pieces]
    return torch.cat(split, axis + 1).flatten(axis, axis + 1)


def apart(joined: Tensor, count: int, axis: int, groups: int) -> Sequence[Tensor]:
    """The inverse of `side_by_side`, as views where that is possible."""
    if count == 1:
        return (joined,)
    if groups == 1:
        return joined.chunk(count, axis)
    return [part.flatten(axis, axis + 1) for part in torch.unflatten(joined, axis, (groups, -1)).chunk(count, axis + 1)]
