"""Records the calls of transformers, beside those of all other networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from handlers.relevance.operations.attention import Attention, Scale, Shift
from handlers.relevance.operations.gated import Gelu
from handlers.relevance.operations.reshaping import Reshape
from handlers.relevance.tracing import table
from handlers.relevance.tracing.refs import Ref, StepRecorder
from handlers.relevance.tracing.table import Refusal


def shift(recorder: StepRecorder, x: Ref, constant: Tensor) -> Ref:
    """x plus a constant tensor."""
    return recorder.step(Shift(_fitting(x, constant)), [x], x.axes)


def scale(recorder: StepRecorder, x: Ref, constant: Tensor) -> Ref:
    """x times a constant tensor."""
    return recorder.step(Scale(_fitting(x, constant)), [x], x.axes)


def _fitting(x: Ref, constant: Tensor) -> Tensor:
    if constant.dim() > x.axes or (constant.dim() == x.axes and constant.shape[0] != 1):
        raise Refusal("a constant that gives the activation more axes or a batch", "give it a first axis of 1")
    return constant.detach()


def _gelu(recorder: StepRecorder, x: Ref, approximate: str = "none") -> Ref:
    return recorder.step(Gelu(approximate), [x], x.axes)


def _layer_norm(
    recorder: StepRecorder,
    x: Ref,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Ref:
    return recorder.step(table.layer_norm(weight, bias, eps), [x], x.axes)


def _attend(recorder: StepRecorder, query: Ref | Tensor, key: Ref, value: Ref, **options: Any) -> Ref:
    if options or not isinstance(key, Ref) or not isinstance(value, Ref):
        raise Refusal("attention with a mask, another scale or constant keys", "give queries, keys and values alone")
    if isinstance(query, Tensor):
        return recorder.step(Attention(query.detach()), [key, value], value.axes)
    return recorder.step(Attention(), [query, key, value], value.axes)


def _unflatten(recorder: StepRecorder, x: Ref, dim: int, sizes: Sequence[int]) -> Ref:
    axis = dim % x.axes
    if axis == 0:
        raise Refusal("unflatten of the batch", "name another axis")
    return recorder.step(Reshape(lambda t: t.unflatten(axis, tuple(sizes))), [x], x.axes + len(sizes) - 1, x)


CALLS: dict[Any, Callable[..., Any]] = {
    F.gelu: _gelu,
    F.layer_norm: _layer_norm,
    F.scaled_dot_product_attention: _attend,
    torch.unflatten: _unflatten,
}
"""As `handlers.relevance.calls.CALLS`."""
