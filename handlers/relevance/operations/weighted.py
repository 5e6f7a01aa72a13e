"""Convolution and linear layers, with the batch norm and the rectifier behind them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from handlers.relevance.kernel import Geometry, Kernel
from handlers.relevance.operations.base import Manner, Operation, Portion, Site, spread, tiny
from handlers.relevance.operations.matrix import Matrix
from handlers.relevance.operations.pointwise import rectified
from handlers.relevance.operations.rising import risen
from handlers.relevance.operations.shares import Piece, Share, apart, shares_of, side_by_side
from handlers.relevance.rules import NormRule, Rules, ZPlus
from handlers.relevance.windows import Message, Starts, dense

Map = Kernel | Matrix


@dataclass(eq=False)
class Weights:
    """The parameters of a layer and the linear maps made from them, each built once and shared by all passes."""

    weight: Tensor
    bias: Tensor | None
    geometry: Geometry | None
    _built: dict[Any, Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def map(self, weight: Tensor, dtype: torch.dtype | None = None) -> Map:
        """The layer's map with other weights. dtype: in which a convolution is computed."""
        return (
            Matrix(weight)
            if self.geometry is None
            else Kernel(weight if dtype is None else weight.to(dtype), self.geometry)
        )

    def once(self, key: Any, build: Any) -> Any:
        """What `build` returns, built at the first call with this key."""
        with self._lock:
            if key not in self._built:
                self._built[key] = build()
            return self._built[key]


@dataclass(eq=False)
class Weighted(Operation):
    """y = relu(scale * (w x + b) + shift): a convolution (or linear layer), then batch norm and rectifier if any.

    The relevance rule sees w alone (identity rule of batch norm), or scale * w where batch norm is folded; biases
    take part in no rule. z+ leaves units that live through their bias only without a way down: their relevance is
    lost, and the conservation defect shows it.

    not_negative: the input cannot be negative. reads_clip: the input is the clip, or what the slices and paddings of
    `path` leave of it. watches_dead: note whether any unit is not 0 while its denominator is.
    """

    weights: Weights
    rules: Rules
    scale: Tensor | None = None
    shift: Tensor | None = None
    relu: bool = False
    not_negative: bool = False
    reads_clip: bool = False
    path: tuple[Operation, ...] = ()
    watches_dead: bool = False

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
            return self.weights.map(weight * self._scale_of_outputs), shift

        result: tuple[Map, Tensor | None] = self.weights.once(("folded", id(self.scale)), build)
        return result

    @property
    def _scale_of_outputs(self) -> Tensor:
        assert self.scale is not None
        return self.scale.view(-1, *([1] * (self.weights.weight.dim() - 1)))

    # -- relevance ---------------------------------------------------------------------------------------------

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        return (self._shared_out(message, site, negated=False),)

    def contrast(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        """R - R-bar: relevance through w minus relevance through -w, both from the same start (ATR paper, Eq. 2)."""
        through = self._shared_out(replace(message, fresh=False), site, negated=False)
        against = self._shared_out(message, site, negated=True)
        slope = _minus(through.slope, against.slope)
        return (Message(slope, _minus(through.amount, against.amount), through.starts),)

    def _shared_out(self, message: Message, site: Site, negated: bool) -> Message:
        x = site.inputs[0]
        message = self._reaching(message, site)
        found: dict[Piece, Tensor] = {}
        starts, down = message.starts, None
        shares = self.shares(negated, site.manner)
        for number, share in enumerate(shares):
            last = number == len(shares) - 1
            ratio = self._quotient(message if last else replace(message, fresh=False), site, number, negated)
            size = tuple(x.shape[2:])
            if starts is None or not isinstance(share.map, Kernel):
                back = share.map.transpose(ratio, size)
            else:
                back = share.map.transpose(ratio, size, windowed=True)
                step, front = share.map.geometry.stride[0], share.map.geometry.padding[0]
                down = tuple(step * s - front for s in starts)
            for piece, part in zip(share.pieces, apart(back, len(share.pieces), *self.channels), strict=True):
                found[piece] = found[piece] + part if piece in found else part
        return self._gathered(found, site, down)

    def _gathered(self, found: dict[Piece, Tensor], site: Site, starts: Starts) -> Message:
        """The pieces' slopes as one message."""
        if Piece.WHOLE in found:
            return Message(found[Piece.WHOLE], None, starts, fresh=True)
        sample = Message(next(iter(found.values())), None, starts)
        x = spread(site.inputs[0], sample)
        if Piece.POSITIVE in found:
            slope = torch.where(x > 0, found[Piece.POSITIVE], found[Piece.NEGATIVE])
            return Message(slope, None, starts, fresh=True)
        low, high = (b if b.shape[2] == 1 else spread(b, sample) for b in self.box(site))
        above, below = found[Piece.ABOVE_LOW], found[Piece.BELOW_HIGH]
        return Message(None, (x - low).mul(above).addcmul_(x - high, below), starts)

    def _reaching(self, message: Message, site: Site) -> Message:
        """Dense rows where their windows would span the whole input after this step."""
        if message.starts is None:
            return message
        kernel = self.folded[0]
        assert isinstance(kernel, Kernel)
        reach = kernel.geometry.dilation[0] * (kernel.size[0] - 1) + 1
        width, steps = message.sample.shape[2], site.inputs[0].shape[2]
        if (width - 1) * kernel.geometry.stride[0] + reach < steps:
            return message
        return dense(message, site.output.shape[2])

    def _quotient(self, message: Message, site: Site, number: int, negated: bool) -> Tensor:
        """c_s R / z_s of share number s: slope * (y / z) + amount / z."""
        result: Tensor | None = None
        if message.slope is not None:
            ratio = spread(self.ratio(site, number, negated, True), message)
            result = message.slope.mul_(ratio) if message.fresh else message.slope * ratio
        if message.amount is not None:
            own = message.amount * spread(self.ratio(site, number, negated, False), message)
            result = own if result is None else result + own
        assert result is not None
        return result

    def ratio(self, site: Site, number: int, negated: bool, of_output: bool) -> Tensor:
        """c y / z (of_output) or c / z of one share, [m, O, ...]; computed once per clip and shared by all rows."""
        key = (number, negated, of_output, site.manner)
        if key not in site.derived:
            share = self.shares(negated, site.manner)[number]
            pieces = [self._piece(piece, site) for piece in share.pieces]
            z = share.map.apply(side_by_side(pieces, *self.channels))
            small = tiny(z.dtype)
            if self.watches_dead and number == 0 and not negated:
                site.derived["dead", site.manner] = bool(((z <= small) & (site.output != 0)).any())
            z = _apart_from_zero(z, share.sign, small)
            ratio = torch.div(site.output, z, out=z) if of_output else z.reciprocal_()
            if share.coefficient != 1.0:
                ratio *= share.coefficient
            if share.selects:
                plain = self._plain.apply(site.inputs[0], self.weights.bias)
                ratio *= (plain > 0) if number == 0 else (plain < 0)
            site.derived[key] = ratio
        result: Tensor = site.derived[key]
        return result

    @property
    def _rule_weight(self) -> Tensor:
        folds = self.scale is not None and self.rules.norm is NormRule.FOLD
        return self.weights.weight * self._scale_of_outputs if folds else self.weights.weight

    @property
    def _plain(self) -> Map:
        result: Map = self.weights.once(("plain", id(self.scale)), lambda: self.weights.map(self._rule_weight))
        return result

    def shares(self, negated: bool, manner: Manner) -> tuple[Share[Map], ...]:
        """The rule as linear maps; negated: for the negated weights."""

        def build() -> tuple[Share[Map], ...]:
            weight = -self._rule_weight if negated else self._rule_weight
            clip = self.reads_clip and self.rules.low is not None
            rule = self.rules.convolution if manner.rule is None else manner.rule
            return shares_of(rule, weight, lambda w: self.weights.map(w, manner.dtype), clip, self.not_negative)

        result: tuple[Share[Map], ...] = self.weights.once(
            ("shares", id(self.scale), negated, self.not_negative, self.reads_clip, manner), build
        )
        return result

    @property
    def channels(self) -> tuple[int, int]:
        """(axis of the input's channels, groups of them)."""
        geometry = self.weights.geometry
        return (-1, 1) if geometry is None else (1, geometry.groups)

    def _piece(self, piece: Piece, site: Site) -> Tensor:
        x: Tensor = site.inputs[0]
        match piece:
            case Piece.WHOLE:
                return x
            case Piece.POSITIVE:
                return x.clamp(min=0)
            case Piece.NEGATIVE:
                return x.clamp(max=0)
            case Piece.ABOVE_LOW:
                return x - self.box(site)[0]
            case Piece.BELOW_HIGH:
                return x - self.box(site)[1]

    def box(self, site: Site) -> tuple[Tensor, Tensor]:
        """Bounds of every input value: the clip's bounds taken through the slices and paddings before this layer."""
        if "box" not in site.derived:
            like = site.inputs[0]
            found = []
            for bound in (self.rules.low, self.rules.high):
                values = torch.tensor(bound, dtype=like.dtype, device=like.device).view(1, -1, 1, 1, 1)
                if self.path:
                    values = values.expand(1, *site.clip[1:])
                for operation in self.path:
                    values = operation.forward([values], None)
                found.append(values)
            site.derived["box"] = tuple(found)
        low, high = site.derived["box"]
        return low, high

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
    def rises(self) -> bool:
        return isinstance(self.folded[0], Kernel) and len(self.folded[0].size) == 3

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        return risen(self, portions[0], site)

    @property
    def shares_all(self) -> bool:
        """Whether an output that is not dead gives away exactly what it has."""
        boxed = self.reads_clip and self.rules.low is not None
        return boxed or isinstance(self.rules.convolution, ZPlus)


def _apart_from_zero(z: Tensor, sign: int, small: float) -> Tensor:
    """Denominators that can be divided by; where z was 0 all numerators are 0 too, so any value serves."""
    if sign == 0:
        return torch.where(z.abs() < small, small, z)
    return z.clamp_(min=small) if sign > 0 else z.clamp_(max=-small)


def _minus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return None if a is None or b is None else a - b
