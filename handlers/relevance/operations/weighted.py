"""Convolution and linear layers, with the batch norm and the rectifier behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from handlers.relevance.kernels.convolution import Kernel
from handlers.relevance.kernels.packed_rows import down
from handlers.relevance.messages import Message, Spans, combined
from handlers.relevance.operations.base import Manner, Operation, Portion, Site, spread, tiny
from handlers.relevance.operations.layer_weights import LayerWeights, Map
from handlers.relevance.operations.pointwise import rectified
from handlers.relevance.operations.weighted_pieces import gathered, taken
from handlers.relevance.operations.weighted_rules import Piece, Share, apart, shares_of, side_by_side
from handlers.relevance.operations.weighted_upward import upward_portion
from handlers.relevance.rules import NormRule, Rules, ZPlus

_ALIVE = 1e6
"""A unit with a larger quotient of output and denominator may live through its bias and give away too little."""


@dataclass(eq=False)
class Weighted(Operation):
    """y = relu(scale * (w x + b) + shift): a convolution (or linear layer), then batch norm and rectifier if any.

    The relevance rule sees w alone (identity rule of batch norm), or scale * w where batch norm is folded; biases
    take part in no rule. z+ leaves units that live through their bias only without a way down: their relevance is
    lost, and the conservation defect shows it.

    not_negative: the input cannot be negative. reads_clip: the input is the clip, or what the slices and paddings of
    `path` leave of it. watches_dead: note whether any unit is not 0 while its denominator is. behind: scale
    of a batch norm that follows and is a step of its own, for the folding rule.
    """

    weights: LayerWeights
    rules: Rules
    scale: Tensor | None = None
    shift: Tensor | None = None
    relu: bool = False
    not_negative: bool = False
    reads_clip: bool = False
    path: tuple[Operation, ...] = ()
    watches_dead: bool = False
    behind: Tensor | None = None

    @property
    def kind(self) -> str:  # type: ignore[override]
        name = "linear" if self.weights.geometry is None else "convolution"
        norm = "" if self.scale is None else " + batch norm"
        return name + norm + (" + relu" if self.relu else "")

    def with_norm(self, scale: Tensor, shift: Tensor) -> Weighted:
        """The same layer followed by batch norm."""
        return replace(self, scale=scale, shift=shift)

    # -- forwards and gradient ---------------------------------------------------------------------------------

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        folded, bias = self.folded
        return folded.apply(inputs[0], bias, self.relu)

    def gradient(self, cotangent: Tensor, site: Site, guided: bool) -> tuple[Tensor | None, ...]:
        if self.relu:
            cotangent = rectified(cotangent, spread(site.output, Message(cotangent)), guided)
        return (self.folded[0].transpose(cotangent, tuple(site.inputs[0].shape[2:])),)

    @property
    def folded(self) -> tuple[Map, Tensor | None]:
        """The map and bias of layer and batch norm in one."""

        def build() -> tuple[Map, Tensor | None]:
            weight, bias = self.weights.weight, self.weights.bias
            if self.scale is None or self.shift is None:
                return self.weights.map(weight), bias
            shift = self.shift if bias is None else self.shift + self.scale * bias
            return self.weights.map(weight * _per_output(self.scale, weight)), shift

        result: tuple[Map, Tensor | None] = self.weights.once(("folded", id(self.scale)), build)
        return result

    @property
    def gain(self) -> tuple[float, float]:
        """(a, b): no output is larger than a times the largest input plus b, in magnitude and before rounding."""

        mapping, bias = self.folded

        def build() -> tuple[float, float]:
            rows = mapping.weight.detach().flatten(1).abs().sum(1, dtype=torch.float64)
            return float(rows.max()), 0.0 if bias is None else float(bias.detach().abs().max())

        result: tuple[float, float] = self.weights.once(("gain", id(self.scale)), build)
        return result

    # -- relevance ---------------------------------------------------------------------------------------------

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        return (self._shared_out(message, site, negated=False),)

    def contrast(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        """R - R-bar: relevance through w minus relevance through -w, both from the same start (ATR paper, Eq. 2)."""
        through = self._shared_out(replace(message, fresh=False), site, negated=False)
        against = self._shared_out(message, site, negated=True)
        slope = _minus(through.slope, against.slope)
        return (Message(slope, _minus(through.amount, against.amount), through.spans),)

    def _shared_out(self, message: Message, site: Site, negated: bool) -> Message:
        x = site.inputs[0]
        found: dict[Piece, Tensor] = {}
        reached: Spans = None
        shares = self.shares(negated, site.manner)
        for number, share in enumerate(shares):
            last = number == len(shares) - 1
            ratio = self._quotient(message if last else replace(message, fresh=False), site, number, negated)
            size = tuple(x.shape[2:])
            if message.spans is None or not isinstance(share.map, Kernel):
                back = share.map.transpose(ratio, size)
            else:
                back, reached = down(share.map, ratio, message.spans, size)
            for piece, part in zip(share.pieces, apart(back, len(share.pieces), *self.channels), strict=True):
                found[piece] = found[piece] + part if piece in found else part
        return gathered(self, found, site, reached)

    def _quotient(self, message: Message, site: Site, number: int, negated: bool) -> Tensor:
        """c_s R / z_s of share number s: slope * (y / z) + amount / z."""
        result: Tensor | None = None
        if message.slope is not None:
            ratio = self.ratio(site, number, negated, True)
            result = combined(torch.mul, message.slope, ratio, message.spans, message.fresh)
        if message.amount is not None:
            own = combined(torch.mul, message.amount, self.ratio(site, number, negated, False), message.spans)
            result = own if result is None else result + own
        assert result is not None
        return result

    def ratio(self, site: Site, number: int, negated: bool, of_output: bool) -> Tensor:
        """c y / z (of_output) or c / z of one share, [m, O, ...]; computed once per clip and shared by all rows."""
        key = (number, negated, of_output, site.manner)
        if key not in site.derived:
            share = self.shares(negated, site.manner)[number]
            pieces = [taken(self, piece, site) for piece in share.pieces]
            z = share.map.apply(side_by_side(pieces, *self.channels))
            small = tiny(z.dtype)
            if self.watches_dead and number == 0 and not negated and not torch.compiler.is_exporting():
                site.derived["dead", site.manner] = bool(((z <= small) & (site.output != 0)).any())
            z = _apart_from_zero(z, share.sign, small)
            ratio = torch.div(site.output, z, out=z) if of_output else z.reciprocal_()
            if share.coefficient != 1.0:
                ratio *= share.coefficient
            if share.selects:
                plain = self._plain(site.manner).apply(site.inputs[0], self.weights.bias)
                ratio *= (plain > 0) if number == 0 else (plain < 0)
            site.derived[key] = ratio
        result: Tensor = site.derived[key]
        return result

    def _folds(self, manner: Manner) -> Tensor | None:
        """The scale of the batch norm that counts as part of the weight; None: of none."""
        norm = self.rules.norm if manner.norm is None else manner.norm
        scale = self.behind if self.scale is None else self.scale
        return scale if norm is NormRule.FOLD else None

    def _rule_weight(self, manner: Manner) -> Tensor:
        scale, weight = self._folds(manner), self.weights.weight
        return weight if scale is None else weight * _per_output(scale, weight)

    def _plain(self, manner: Manner) -> Map:
        key = ("plain", id(self._folds(manner)))
        result: Map = self.weights.once(key, lambda: self.weights.map(self._rule_weight(manner)))
        return result

    def shares(self, negated: bool, manner: Manner) -> tuple[Share[Map], ...]:
        """The rule as linear maps; negated: for the negated weights."""

        def build() -> tuple[Share[Map], ...]:
            weight = -self._rule_weight(manner) if negated else self._rule_weight(manner)
            clip = self.reads_clip and self.rules.low is not None
            rule = self.rules.convolution if manner.rule is None else manner.rule
            return shares_of(rule, weight, lambda w: self.weights.map(w, manner.dtype), clip, self.not_negative)

        chosen = id(self._folds(manner)), manner.rule, manner.dtype  # what sums do is none of a layer's business
        key = ("shares", *chosen, negated, self.not_negative, self.reads_clip)
        result: tuple[Share[Map], ...] = self.weights.once(key, build)
        return result

    @property
    def channels(self) -> tuple[int, int]:
        """(axis of the input's channels, groups of them)."""
        geometry = self.weights.geometry
        return (-1, 1) if geometry is None else (1, geometry.groups)

    # -- upwards -----------------------------------------------------------------------------------------------

    @property
    def time_kernel(self) -> tuple[int, int]:
        geometry = self.weights.geometry
        if geometry is None or len(geometry.stride) != 3:
            return (0, 1)
        return geometry.dilation[0] * (self.weights.weight.shape[2] - 1) + 1, geometry.stride[0]

    @property
    def time_padding(self) -> int:
        return 0 if self.weights.geometry is None else self.weights.geometry.padding[0]

    @property
    def has_portions(self) -> bool:
        return isinstance(self.folded[0], Kernel) and len(self.folded[0].size) == 3

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        return upward_portion(self, portions[0], site)

    def gives_all(self, site: Site) -> bool:
        return self.shares_all and float(self.ratio(site, 0, False, True).abs().amax()) < _ALIVE

    @property
    def shares_all(self) -> bool:
        """Whether an output that is not dead gives away exactly what it has."""
        boxed = self.reads_clip and self.rules.low is not None
        return boxed or isinstance(self.rules.convolution, ZPlus)


def _per_output(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.view(-1, *([1] * (weight.dim() - 1)))


def _apart_from_zero(z: Tensor, sign: int, small: float) -> Tensor:
    """Denominators that can be divided by; where z was 0 all numerators are 0 too, so any value serves."""
    if sign == 0:
        return torch.where(z.abs() < small, small, z)
    return z.clamp_(min=small) if sign > 0 else z.clamp_(max=-small)


def _minus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return None if a is None or b is None else a - b
