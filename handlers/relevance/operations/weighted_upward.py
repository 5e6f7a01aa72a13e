"""Convolutions upwards: the frames' portions of the outputs from those of the inputs."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from handlers.relevance.kernels.convolution import Kernel
from handlers.relevance.kernels.packed_rows import up
from handlers.relevance.messages import Spans, combined, look
from handlers.relevance.operations.base import Manner, Portion, Site, explicit
from handlers.relevance.operations.layer_weights import Map
from handlers.relevance.operations.weighted_pieces import WeightedLayer, above_low, below_high, box
from handlers.relevance.operations.weighted_rules import Piece, Share, side_by_side


class UpwardLayer(WeightedLayer, Protocol):
    """A layer that shares out its relevance by linear maps."""

    @property
    def folded(self) -> tuple[Map, Tensor | None]:
        """The map and bias of layer and batch norm in one."""

    @property
    def channels(self) -> tuple[int, int]:
        """(axis of the input's channels, groups of them)."""

    @property
    def shares_all(self) -> bool:
        """Whether its units share out all of their relevance."""

    def shares(self, negated: bool, manner: Manner) -> tuple[Share[Map], ...]:
        """The rule as linear maps; negated: for the negated weights."""

    def ratio(self, site: Site, number: int, negated: bool, of_output: bool) -> Tensor:
        """c y / z (of_output) or c / z of one share, [m, O, ...]."""


def upward_portion(layer: UpwardLayer, portion: Portion, site: Site) -> Portion:
    """y f_out = (y / z) * (w+ (x f_in)): the transpose of the relevance rule, share by share.

    A layer of one tap in time leaves every unit with its frame, unless some unit is dead (not 0, but its
    denominator is) and gives nothing to any frame.
    """
    kernel = layer.folded[0]
    assert isinstance(kernel, Kernel)
    geometry = kernel.geometry
    if portion.values is None and kernel.size[0] == 1 and layer.shares_all:
        layer.ratio(site, 0, False, True)
        if not site.derived.get(("dead", site.manner), True):
            first = portion.first - portion.step * geometry.padding[0]
            return Portion(portion.frames, None, None, first, portion.step * geometry.stride[0])
    written = explicit(portion, site.inputs[0])
    result: Tensor | None = None
    spans: Spans = None
    for number, share in enumerate(layer.shares(False, site.manner)):
        assert isinstance(share.map, Kernel)
        pieces = side_by_side([_piece(layer, piece, written, site) for piece in share.pieces], *layer.channels)
        if written.spans is None:
            total = share.map.apply(pieces)
        else:
            total, spans = up(share.map, pieces, written.spans, (site.inputs[0].shape[2], site.output.shape[2]))
        total = combined(torch.mul, total, layer.ratio(site, number, False, True), spans, fresh=True)
        result = total if result is None else result.add_(total)
    assert result is not None
    return Portion(portion.frames, result, spans)


def _piece(layer: UpwardLayer, piece: Piece, written: Portion, site: Site) -> Tensor:
    """The portion's part of one piece of the input."""
    values, x = written.values, site.inputs[0]
    assert values is not None
    match piece:
        case Piece.WHOLE:
            return values
        case Piece.POSITIVE:
            return torch.where(look(x, written.spans) > 0, values, 0.0)
        case Piece.NEGATIVE:
            return torch.where(look(x, written.spans) > 0, 0.0, values)
        case Piece.ABOVE_LOW:
            return above_low(values, look(box(layer, site)[0].expand(1, *x.shape[1:]), written.spans))
        case Piece.BELOW_HIGH:
            return below_high(values, look(box(layer, site)[1].expand(1, *x.shape[1:]), written.spans))
