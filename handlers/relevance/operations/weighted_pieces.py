"""The pieces of one layer's input: taken apart on the way into its rule, and put together on the way out."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from handlers.relevance.messages import Message, Spans, combined, spread
from handlers.relevance.operations.base import Operation, Site
from handlers.relevance.operations.weighted_rules import Piece
from handlers.relevance.rules import Rules


class WeightedLayer(Protocol):
    """A layer that may read the clip, behind the slices and paddings of `path`."""

    @property
    def rules(self) -> Rules:
        """The rules that it propagates by."""

    @property
    def path(self) -> tuple[Operation, ...]:
        """The operations between the clip and this layer."""


def taken(layer: WeightedLayer, piece: Piece, site: Site) -> Tensor:
    """One piece of the layer's input, in its shape."""
    x: Tensor = site.inputs[0]
    match piece:
        case Piece.WHOLE:
            return x
        case Piece.POSITIVE:
            return x.clamp(min=0)
        case Piece.NEGATIVE:
            return x.clamp(max=0)
        case Piece.ABOVE_LOW:
            return above_low(x, box(layer, site)[0])
        case Piece.BELOW_HIGH:
            return below_high(x, box(layer, site)[1])


def above_low(x: Tensor, low: Tensor) -> Tensor:
    """x - low, and 0 below the box: the brightest and the darkest pixels leave it by a rounding, and a product of the
    wrong sign can make a denominator that is next to nothing."""
    return (x - low).clamp_(min=0)


def below_high(x: Tensor, high: Tensor) -> Tensor:
    """x - high, and 0 above the box."""
    return (x - high).clamp_(max=0)


def box(layer: WeightedLayer, site: Site) -> tuple[Tensor, Tensor]:
    """Bounds of every input value: the clip's bounds taken through the slices and paddings before this layer."""
    if "box" not in site.derived:
        like = site.inputs[0]
        found = []
        for bound in (layer.rules.low, layer.rules.high):
            values = torch.tensor(bound, dtype=like.dtype, device=like.device).view(1, -1, 1, 1, 1)
            if layer.path:
                values = values.expand(1, *site.clip[1:])
            for operation in layer.path:
                values = operation.forward([values], None)
            found.append(values)
        site.derived["box"] = tuple(found)
    low, high = site.derived["box"]
    return low, high


def gathered(layer: WeightedLayer, found: dict[Piece, Tensor], site: Site, spans: Spans) -> Message:
    """The pieces' slopes as one message."""
    if Piece.WHOLE in found:
        return Message(found[Piece.WHOLE], None, spans, fresh=True)
    x = site.inputs[0]
    if Piece.POSITIVE in found:
        positive, negative = found[Piece.POSITIVE], found[Piece.NEGATIVE]
        slope = torch.where(spread(x > 0, spans, positive), positive, negative)
        return Message(slope, None, spans, fresh=True)
    low, high = box(layer, site)
    above = combined(torch.mul, found[Piece.ABOVE_LOW], above_low(x, low), spans)
    below = combined(torch.mul, found[Piece.BELOW_HIGH], below_high(x, high), spans)
    return Message(None, above.add_(below), spans, fresh=True)
