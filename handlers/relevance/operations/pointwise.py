"""Operations on single units: rectifier, constant factor, batch norm that follows no convolution, sum of branches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from handlers.relevance.messages import Message, added, combined
from handlers.relevance.operations.base import Operation, Portion, Site, alike, explicit, inverse, joined, spread
from handlers.relevance.rules import AddRule, AlphaBeta, Gamma, NormRule, Rules


def where_active(values: Tensor, output: Tensor, *, out: Tensor | None = None) -> Tensor:
    """values where output > 0, else 0, in one pass over memory; broadcasts over the first axis."""
    threshold: Any = torch.ops.aten.threshold_backward
    result: Tensor = (
        threshold(values, output, 0) if out is None else threshold.grad_input(values, output, 0, grad_input=out)
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
            slope = combined(where_active, slope, site.output, message.spans, message.fresh)
        return (Message(slope, message.amount, message.spans, message.fresh),)

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        portion = portions[0]
        if portion.values is None:
            return portion
        values = combined(where_active, portion.values, site.output, portion.spans)
        return Portion(portion.frames, values, portion.spans)


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
        return (Message(slope, message.amount, message.spans),)

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        portion = portions[0]
        if portion.values is None:
            return portion
        return Portion(portion.frames, portion.values * self.factor, portion.spans)


@dataclass(eq=False)
class Norm(Operation):
    """Batch norm in evaluation, y = x * scale + shift per channel, under the identity rule R_in = R_out.

    (ATR paper, appendix G.) Behind a convolution it is fused into that; this node is for all other places. A unit
    can be 0 here and still carry relevance, so the relevance itself is carried on, not its ratio to x.

    Under the folding rule it is a convolution of one weight per channel: the rule of convolutions says what a single
    product x * scale carries. Where it is `part` of the convolution before it, that one sees to the rule.
    """

    scale: Tensor
    shift: Tensor
    rules: Rules = field(default_factory=Rules)
    part: bool = False
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
        rule = self.rules.norm if site.manner.norm is None else site.manner.norm
        if rule is NormRule.FOLD and not self.part:
            assert amount is not None
            amount = amount * spread(self._carried(site), message)
        return (Message(None, amount, message.spans),)

    def _carried(self, site: Site) -> Tensor:
        """The share of a unit's relevance that its only product carries, by the sign of that."""
        product: Tensor = site.inputs[0] * self._per_channel(self.scale, site.inputs[0])
        match self.rules.convolution if site.manner.rule is None else site.manner.rule:
            case AlphaBeta(alpha, beta):
                carried = alpha * (product > 0).to(product.dtype) - beta * (product < 0).to(product.dtype)
            case Gamma():
                carried = product != 0
            case _:
                carried = product > 0
        return carried.to(product.dtype)

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
        if self._rule(site) is AddRule.POSITIVE:
            return self._positive(message, site)
        if slope is not None and self.relu:
            slope = combined(where_active, slope, site.output, message.spans, message.fresh)
        if message.amount is not None:
            before = site.inputs[0] + site.inputs[1] if self.relu else site.output
            own = message.amount * spread(inverse(before), message)
            slope = own if slope is None else slope + own
        result = Message(slope, None, message.spans)
        return (result, result)

    def _positive(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        terms = [spread(x, message) for x in site.inputs]
        amount = message.amount
        if message.slope is not None:
            own = message.slope * spread(site.output, message)
            amount = own if amount is None else own + amount
        assert amount is not None
        ratio = amount * inverse(terms[0].clamp(min=0) + terms[1].clamp(min=0))
        return tuple(Message(where_active(ratio, term), None, message.spans) for term in terms)

    def _rule(self, site: Site) -> AddRule:
        return self.rule if site.manner.add is None else site.manner.add

    def gives_all(self, site: Site) -> bool:
        return self._rule(site) is not AddRule.POSITIVE

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        rule = self._rule(site)
        if alike(portions) and not (rule is AddRule.POSITIVE and not self.relu):
            return portions[0]
        if rule is AddRule.POSITIVE:
            (first, second), spans = joined(portions, site.inputs)
            active = [
                combined(where_active, own, x, spans) for own, x in zip((first, second), site.inputs, strict=True)
            ]
            share = site.output * inverse(site.inputs[0].clamp(min=0) + site.inputs[1].clamp(min=0))
            return Portion(portions[0].frames, combined(torch.mul, active[0] + active[1], share, spans), spans)
        written = [explicit(p, x) for p, x in zip(portions, site.inputs, strict=True)]
        values = [w.values for w in written if w.values is not None]
        # Nothing here may be written into: a portion may be the activation itself, and other steps read it too.
        both, spans = added(values, [w.spans for w in written], site.output.shape[2], [False] * len(values))
        if self.relu:
            both = combined(where_active, both, site.output, spans, fresh=True)
        return Portion(portions[0].frames, both, spans)
