"""Layer norm, attention, and constants: what transformers consist of beside linear layers.

Each is linear in what carries the evidence once that is held constant which the clip sets beside it: the mean square of
layer norm, the probabilities of attention. With slopes, R = x * slope, relevance then goes down through the transposed
linear map: exact, conserved but for constants that are added, and never divided by an activation near 0. How the clip
sets what is held is not explained. (So do Ali et al., 2022, for layer norm and attention heads.) Gradients are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from handlers.relevance.messages import Message
from handlers.relevance.operations.base import Operation, Site, as_slope, spread

_AT_ONCE = 2**22
"""Attention probabilities of more numbers than this are computed head by head."""


class HeldWeights(Operation):
    """The rule that they share: `pull` is the transposed map with everything held constant."""

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        message = self.fitted(message, site)
        return tuple(None if part is None else Message(part) for part in self.pull(as_slope(message, site), site))


@dataclass(eq=False)
class LayerNorm(HeldWeights):
    """Layer norm over the last axis: y = (x - mean) / deviation * weight + bias; the deviation is held."""

    weight: Tensor
    bias: Tensor | None
    eps: float
    kind = "layer norm"

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        return F.layer_norm(inputs[0], self.weight.shape, self.weight, self.bias, self.eps)

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        x = spread(site.inputs[0], Message(y))
        return (_centred(y * self.weight) * self._inverse_deviation(x),)

    def gradient(self, cotangent: Tensor, site: Site, guided: bool) -> tuple[Tensor | None, ...]:
        x = spread(site.inputs[0], Message(cotangent))
        scale = self._inverse_deviation(x)
        normal, slope = _centred(x) * scale, cotangent * self.weight
        return ((_centred(slope) - normal * (slope * normal).mean(-1, keepdim=True)) * scale,)

    def _inverse_deviation(self, x: Tensor) -> Tensor:
        return (x.var(-1, correction=0, keepdim=True) + self.eps).rsqrt()


@dataclass(eq=False)
class Attention(HeldWeights):
    """softmax(q k^T / sqrt(d)) v for q [..., heads, M, d], k and v [..., heads, N, d]; the probabilities are held.

    Each output is then an average of values, and relevance goes to the values, none to queries and keys.
    query: where all clips ask the same, [1, heads, M, d]; the inputs are then k and v.
    """

    query: Tensor | None = None
    kind = "attention"

    def signals(self, inputs: tuple[int, ...]) -> tuple[int, ...]:
        return inputs[-1:]

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        parts = self._query_key_value(inputs)
        lead = parts[0].shape[:-3]
        # More axes would miss torch's fused kernel, and are unknown to ONNX.
        query, key, value = (part.flatten(0, -4) for part in parts) if len(lead) > 1 else parts
        found = F.scaled_dot_product_attention(query, key, value)
        return found if len(lead) == 1 else torch.unflatten(found, 0, lead)

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        query, key, _ = (spread(x, Message(y)) for x in self._query_key_value(site.inputs))
        (slope,) = by_heads(lambda q, k, g: (probabilities(q, k).mT @ g,), query, key, y)
        return (*(None for _ in site.inputs[1:]), slope)

    def gradient(self, cotangent: Tensor, site: Site, guided: bool) -> tuple[Tensor | None, ...]:
        query, key, value = (spread(x, Message(cotangent)) for x in self._query_key_value(site.inputs))
        found = by_heads(_gradient, query, key, value, cotangent)
        return found if self.query is None else found[1:]

    def _query_key_value(self, inputs: Sequence[Any]) -> tuple[Tensor, Tensor, Tensor]:
        if self.query is None:
            query, key, value = inputs
        else:
            key, value = inputs
            query = self.query.expand(key.shape[0], *self.query.shape[1:])
        return query, key, value


@dataclass(eq=False)
class Shift(Operation):
    """x plus a constant tensor, such as embedded positions. As with a bias, what the constant adds has no way down."""

    constant: Tensor
    kind = "shift"

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        result: Tensor = inputs[0] + self.constant
        return result

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        return (y,)


@dataclass(eq=False)
class Scale(Operation):
    """x times a constant tensor: the relevance stays."""

    constant: Tensor
    kind = "scale"

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        result: Tensor = inputs[0] * self.constant
        return result

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        return (y * self.constant,)

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        message = self.fitted(message, site)
        slope = None if message.slope is None else message.slope * self.constant
        return (Message(slope, message.amount),)


def probabilities(query: Tensor, key: Tensor) -> Tensor:
    """[..., heads, M, N] of queries [..., heads, M, d] and keys [..., heads, N, d]."""
    scores: Tensor = query / math.sqrt(query.shape[-1]) @ key.mT
    return scores.softmax(-1)


def by_heads(compute: Callable[..., tuple[Tensor, ...]], *tensors: Tensor) -> tuple[Tensor, ...]:
    """Call `compute` on queries, keys and more, [..., heads, *, *] each, head by head where they are large."""
    query, key = tensors[:2]
    if query[..., 0].numel() * key.shape[-2] <= _AT_ONCE:
        return compute(*tensors)
    parts = [compute(*some) for some in zip(*(torch.split(tensor, 1, -3) for tensor in tensors), strict=True)]
    return tuple(torch.cat(results, -3) for results in zip(*parts, strict=True))


def _gradient(query: Tensor, key: Tensor, value: Tensor, cotangent: Tensor) -> tuple[Tensor, ...]:
    """Vector-Jacobian products for queries, keys and values."""
    chosen, scale = probabilities(query, key), query.shape[-1] ** -0.5
    of_chosen = cotangent @ value.mT
    of_scores = chosen * (of_chosen - (of_chosen * chosen).sum(-1, keepdim=True)) * scale
    return of_scores @ key, of_scores.mT @ query, chosen.mT @ cotangent


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(-1, keepdim=True)
