"""Convolutions upwards: the frames' portions of the outputs from those of the inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from handlers.relevance.kernel import Kernel
from handlers.relevance.operations.base import Portion, Site, explicit
from handlers.relevance.operations.pieces import box
from handlers.relevance.operations.shares import Piece, side_by_side
from handlers.relevance.windows import Starts, look, place

if TYPE_CHECKING:
    from handlers.relevance.operations.weighted import Weighted


def risen(layer: Weighted, portion: Portion, site: Site) -> Portion:
    """y f_out = (y / z) * (w+ (x f_in)): the transpose of the relevance rule, share by share.

    A layer of one tap in time leaves every unit with its frame, unless some unit is dead (not 0, but its
    denominator is) and gives nothing to any frame.
    """
    kernel = layer.folded[0]
    assert isinstance(kernel, Kernel)
    geometry, taps = kernel.geometry, kernel.size[0]
    if portion.values is None and taps == 1 and layer.shares_all:
        layer.ratio(site, 0, False, True)
        if not site.derived.get(("dead", site.manner), True):
            first = portion.first - portion.step * geometry.padding[0]
            return Portion(portion.frames, None, None, first, portion.step * geometry.stride[0])
    written = explicit(portion, site.inputs[0])
    assert written.values is not None
    reach = geometry.dilation[0] * (taps - 1)
    starts: Starts = None
    width = (written.values.shape[2] - 1 + reach) // geometry.stride[0] + 1
    if written.starts is not None and width < site.output.shape[2]:
        starts = tuple(-(-(s + geometry.padding[0] - reach) // geometry.stride[0]) for s in written.starts)
    result: Tensor | None = None
    for number, share in enumerate(layer.shares(False, site.manner)):
        assert isinstance(share.map, Kernel)
        pieces = [_piece(layer, piece, written, site) for piece in share.pieces]
        total = _through(share.map, side_by_side(pieces, *layer.channels), written.starts, starts, site)
        total = total.mul_(look(layer.ratio(site, number, False, True), starts, total.shape[2]))
        result = total if result is None else result.add_(total)
    assert result is not None
    return Portion(portion.frames, result, starts)


def _piece(layer: Weighted, piece: Piece, written: Portion, site: Site) -> Tensor:
    """The portion's part of one piece of the input."""
    values, x = written.values, site.inputs[0]
    assert values is not None
    width = values.shape[2]
    match piece:
        case Piece.WHOLE:
            return values
        case Piece.POSITIVE:
            return torch.where(look(x, written.starts, width) > 0, values, 0.0)
        case Piece.NEGATIVE:
            return torch.where(look(x, written.starts, width) > 0, 0.0, values)
        case Piece.ABOVE_LOW | Piece.BELOW_HIGH:
            bound = box(layer, site)[0 if piece is Piece.ABOVE_LOW else 1]
            inside = look(torch.ones_like(x[:, :1]), written.starts, width)
            return values - look(bound.expand(1, *x.shape[1:]), written.starts, width) * inside


def _through(kernel: Kernel, values: Tensor, before: Starts, after: Starts, site: Site) -> Tensor:
    """One linear map from windows to the windows that they reach."""
    if after is None:
        return kernel.apply(values if before is None else place(values, before, None, site.inputs[0].shape[2]))
    assert before is not None
    stride, padding = kernel.geometry.stride[0], kernel.geometry.padding[0]
    reach = kernel.geometry.dilation[0] * (kernel.size[0] - 1)
    if stride == 1:
        return kernel.apply(values, time_padding=reach)
    last = [(s + values.shape[2] - 1 + padding) // stride for s in before]
    count = max(b - a for a, b in zip(after, last, strict=True)) + 1
    first = tuple(stride * s - padding for s in after)
    return kernel.apply(place(values, before, first, (count - 1) * stride + reach + 1), time_padding=0)
