"""Products with a gate: swish, GELU, and squeeze-and-excitation.

A gate weighs, and what it weighs carries the evidence: relevance passes to the weighed signal, R_in = R_out, and none
to what sets the gate (the "signal-take-all" rule for LSTMs of Arras et al., 2017). It conserves relevance, and is exact
where the gate is a constant; how the clip sets the gate is not explained. Gradients are exact through both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from handlers.relevance.messages import Message, Spans, look
from handlers.relevance.operations.base import Operation, Portion, Site, spread


def _opened(message: Message, gate: Tensor) -> Message:
    """The message below a gate: relevance as it was, hence slopes times the gate."""
    slope = None if message.slope is None else message.slope * gate
    return Message(slope, message.amount, message.spans, fresh=slope is not None)


class SelfGated(Operation):
    """x * gate(x); the rule that all of this form share."""

    keeps_time = True

    def gate(self, x: Tensor) -> Tensor:
        """The factor of x, in 0 .. 1."""
        raise NotImplementedError

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        return (_opened(message, self.gate(spread(site.inputs[0], message))),)

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        portion = portions[0]
        if portion.values is None:
            return portion
        x = look(site.inputs[0], portion.spans)
        return Portion(portion.frames, portion.values * self.gate(x), portion.spans)


@dataclass(eq=False)
class Swish(SelfGated):
    """x * sigmoid(x)."""

    kind = "swish"

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        return F.silu(inputs[0])

    def gate(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def gradient(self, cotangent: Tensor, site: Site, guided: bool) -> tuple[Tensor | None, ...]:
        x = spread(site.inputs[0], Message(cotangent))
        gate = torch.sigmoid(x)
        return (cotangent * gate * (1 + x * (1 - gate)),)


@dataclass(eq=False)
class Gelu(SelfGated):
    """x times the share of a normal distribution that lies below x; approximate: "none", or "tanh" for a formula."""

    approximate: str
    kind = "GELU"

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        return F.gelu(inputs[0], approximate=self.approximate)

    def gate(self, x: Tensor) -> Tensor:
        if self.approximate == "none":
            return (1 + torch.erf(x / math.sqrt(2))) / 2
        return (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2

    def gradient(self, cotangent: Tensor, site: Site, guided: bool) -> tuple[Tensor | None, ...]:
        x = spread(site.inputs[0], Message(cotangent))
        backward: Any = torch.ops.aten.gelu_backward
        return (backward(cotangent.contiguous(), x, approximate=self.approximate),)


@dataclass(eq=False)
class Sigmoid(Operation):
    """Sets a gate. Relevance never arrives here: tracing refuses any other use of it."""

    kind = "sigmoid"
    keeps_time = True

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        return torch.sigmoid(inputs[0])

    def gradient(self, cotangent: Tensor, site: Site, guided: bool) -> tuple[Tensor | None, ...]:
        gate = spread(site.output, Message(cotangent))
        return (cotangent * gate * (1 - gate),)


@dataclass(eq=False)
class Gate(Operation):
    """signal * gate, the gate as large as the signal or 1 along some axes."""

    kind = "gate"
    keeps_time = True

    def signals(self, inputs: tuple[int, ...]) -> tuple[int, ...]:
        return inputs[:1]

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        result: Tensor = inputs[0] * inputs[1]
        return result

    def gradient(self, cotangent: Tensor, site: Site, guided: bool) -> tuple[Tensor | None, ...]:
        signal, gate = site.inputs
        message = Message(cotangent)
        setting = cotangent * spread(signal, message)
        narrow = [axis for axis in range(1, gate.dim()) if gate.shape[axis] < setting.shape[axis]]
        return (
            cotangent * _along(gate, message.spans, message),
            setting.sum(narrow, keepdim=True) if narrow else setting,
        )

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        return (_opened(message, _along(site.inputs[1], message.spans, message)), None)

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        portion = portions[0]
        if portion.values is None:
            return portion
        gate = _along(site.inputs[1], portion.spans, Message(portion.values))
        return Portion(portion.frames, portion.values * gate, portion.spans)


def _along(gate: Tensor, spans: Spans, message: Message) -> Tensor:
    """The gate [m, ...] so that it multiplies rows; one that is the same at all time steps fits every span."""
    if spans is not None and gate.shape[2] == 1:
        return gate
    return spread(gate, Message(message.sample, None, spans))
