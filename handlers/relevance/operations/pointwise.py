"""Operations on single units: rectifier, constant factor, batch norm that follows no convolution, sum of branches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from handlers.relevance.operations.base import Operation, Portion, Site, alike, explicit, inverse, joined, spread
from handlers.relevance.rules import AddRule
from handlers.relevance.windows import Message, added, look


def where_active(values: Tensor, output: Tensor, fresh: bool = False) -> Tensor:
    """values where output > 0, else 0, in one pass over memory; broadcasts over the first axis.

    fresh: the values may be written into.
    """
    threshold: Any = torch.ops.aten.threshold_backward
    result: Tensor = (
        threshold.grad_input(values, output, 0, grad_input=values) if fresh else threshold(values, output, 0)
    )
    return result


def rectified(cotangent: Tensor, output: Tensor, guided: bool) -> Tensor:
    """Gradient through a rectifier; guided also stops what is negative on the way back (Guided Backprop)."""
    passed = where_active(cotangent, output)
    return passed.clamp_(min=0) if guided else passed


@dataclass(eq=False)
class Relu(Operation):
    """max(x, 0): relevance passes, and what is 0 has none."""

    kind = "relu"
    keeps_time = True

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        return torch.relu(inputs[0])

    def gradient(self, cotangent: Tensor, site: Site, guided: bool) -> tuple[Tensor | None, ...]:
        return (rectified(cotangent, spread(site.output, Message(cotangent)), guided),)

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        slope = message.slope
        if slope is not None:
            slope = where_active(slope, spread(site.output, message), message.fresh)
        return (Message(slope, message.amount, message.starts, message.fresh),)

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        portion = portions[0]
        if portion.values is None:
            return portion
        output = look(site.output, portion.starts, portion.values.shape[2])
        return Portion(portion.frames, where_active(portion.values, output), portion.starts)


@dataclass(eq=False)
class Factor(Operation):
    """x times a constant number: the relevance stays."""

    factor: float
    kind = "factor"
    keeps_time = True

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        result: Tensor = inputs[0] * self.factor
        return result

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        return (y * self.factor,)

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        slope = None if message.slope is None else message.slope * self.factor
        return (Message(slope, message.amount, message.starts),)

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        portion = portions[0]
        if portion.values is None:
            return portion
        return Portion(portion.frames, portion.values * self.factor, portion.starts)


@dataclass(eq=False)
class Norm(Operation):
    """Batch norm in evaluation, y = x * scale + shift per channel, under the identity rule R_in = R_out.

    (ATR paper, appendix G.) Behind a convolution it is fused into that; this node is for all other places. A unit
    can be 0 here and still carry relevance, so the relevance itself is carried on, not its ratio to x.
    """

    scale: Tensor
    shift: Tensor
    kind = "batch norm"
    keeps_time = True

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        result: Tensor = inputs[0] * self._per_channel(self.scale, inputs[0]) + self._per_channel(self.shift, inputs[0])
        return result

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        return (y * self._per_channel(self.scale, y),)

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        amount = message.amount
        if message.slope is not None:
            own = message.slope * spread(site.output, message)
            amount = own if amount is None else own + amount
        return (Message(None, amount, message.starts),)

    @staticmethod
    def _per_channel(values: Tensor, like: Tensor) -> Tensor:
        return values.view(1, -1, *([1] * (like.dim() - 2)))


@dataclass(eq=False)
class Add(Operation):
    """Sum of two branches, then a rectifier if `relu`.

    proportional: R_u = u / (u + v) R. Written with slopes nothing is divided, so no epsilon is needed: the slope of
    the sum is the slope of both terms. positive: R_u = u+ / (u+ + v+) R.
    """

    rule: AddRule
    relu: bool = False
    kind = "add"
    keeps_time = True

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        result: Tensor = inputs[0] + inputs[1]
        return result.relu_() if self.relu else result

    def gradient(self, cotangent: Tensor, site: Site, guided: bool) -> tuple[Tensor | None, ...]:
        if self.relu:
            cotangent = rectified(cotangent, spread(site.output, Message(cotangent)), guided)
        return (cotangent, cotangent)

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        slope = message.slope
        output = spread(site.output, message)
        if self.rule is AddRule.POSITIVE:
            return self._positive(message, site, output)
        if slope is not None and self.relu:
            slope = where_active(slope, output, message.fresh)
        if message.amount is not None:
            before = spread(site.inputs[0], message) + spread(site.inputs[1], message) if self.relu else output
            own = message.amount * inverse(before)
            slope = own if slope is None else slope + own
        result = Message(slope, None, message.starts)
        return (result, result)

    def _positive(self, message: Message, site: Site, output: Tensor) -> tuple[Message | None, ...]:
        terms = [spread(x, message) for x in site.inputs]
        amount = message.amount
        if message.slope is not None:
            own = message.slope * output
            amount = own if amount is None else own + amount
        assert amount is not None
        ratio = amount * inverse(terms[0].clamp(min=0) + terms[1].clamp(min=0))
        return tuple(Message(where_active(ratio, term), None, message.starts) for term in terms)

    def gives_all(self, site: Site) -> bool:
        return self.rule is not AddRule.POSITIVE

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        if alike(portions) and not (self.rule is AddRule.POSITIVE and not self.relu):
            return portions[0]
        if self.rule is AddRule.POSITIVE:
            (first, second), starts = joined(portions, site.inputs)
            width = first.shape[2]
            output = look(site.output, starts, width)
            terms = [look(x, starts, width) for x in site.inputs]
            both = where_active(first, terms[0]) + where_active(second, terms[1])
            share = output * inverse(terms[0].clamp(min=0) + terms[1].clamp(min=0))
            return Portion(portions[0].frames, both * share, starts)
        written = [explicit(p, x) for p, x in zip(portions, site.inputs, strict=True)]
        values = [w.values for w in written if w.values is not None]
        both, starts = added(values, [w.starts for w in written], site.output.shape[2])
        if self.relu:
            output = look(site.output, starts, both.shape[2])
            both = where_active(both, output, fresh=True)
        return Portion(portions[0].frames, both, starts)
