"""Records each function or method call of a model, one recording function per kind of call."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from handlers.relevance.operations.base import Operation
from handlers.relevance.operations.gated import Gate, Sigmoid, Swish
from handlers.relevance.operations.pointwise import Add, Relu
from handlers.relevance.operations.reshaping import Concatenate, Identity, Permute, Reshape, Slice
from handlers.relevance.program.graph import ShapeValue
from handlers.relevance.tracing import table
from handlers.relevance.tracing import transformer_calls as tokens
from handlers.relevance.tracing.refs import Ref, StepRecorder, filled
from handlers.relevance.tracing.table import Refusal


def _relu(recorder: StepRecorder, x: Ref, inplace: bool = False) -> Ref:
    return recorder.step(Relu(), [x], x.axes)


def _swish(recorder: StepRecorder, x: Ref, inplace: bool = False) -> Ref:
    return recorder.step(Swish(), [x], x.axes)


def _sigmoid(recorder: StepRecorder, x: Ref) -> Ref:
    return recorder.step(Sigmoid(), [x], x.axes)


def _add(recorder: StepRecorder, x: Any, y: Any, alpha: float = 1) -> Ref:
    if alpha == 1 and isinstance(y, Tensor) and isinstance(x, Ref):
        return tokens.shift(recorder, x, y)
    if alpha != 1 or not isinstance(x, Ref) or not isinstance(y, Ref):
        raise Refusal("addition of a constant number or a multiple", "add two activations; put constants into a bias")
    if x.axes != y.axes:
        raise Refusal("addition with broadcasting", "add tensors of one shape")
    return recorder.step(Add(recorder.rules.add), [x, y], x.axes)


def _multiply(recorder: StepRecorder, x: Any, y: Any) -> Ref:
    if isinstance(y, Tensor) and isinstance(x, Ref):
        return tokens.scale(recorder, x, y)
    tensors = [ref for ref in (x, y) if isinstance(ref, Ref) and not ref.is_size]
    gates = [ref for ref in tensors if isinstance(recorder.made_by(ref), Sigmoid)]
    if len(tensors) == 2 and gates and x.axes == y.axes:
        gate = gates[-1]
        signal = x if gate is y else y
        return recorder.step(Gate(), [signal, gate], signal.axes)
    tensor, number = (x, y) if isinstance(x, Ref) and not x.is_size else (y, x)
    return recorder.step(table.factor(number), [tensor], tensor.axes)


def _divide(recorder: StepRecorder, x: Any, y: Any) -> Ref:
    if not isinstance(x, Ref) or not isinstance(y, int | float):
        raise Refusal("division by a tensor", "divide by a constant number")
    return recorder.step(table.factor(1.0 / y), [x], x.axes)


def _concatenate(recorder: StepRecorder, tensors: Sequence[Ref], dim: int = 0, axis: int | None = None) -> Ref:
    if not isinstance(tensors, list | tuple) or not all(isinstance(t, Ref) for t in tensors):
        raise Refusal("cat of something else than activations", "concatenate activations")
    chosen = (dim if axis is None else axis) % tensors[0].axes
    if chosen == 0:
        raise Refusal("cat along the batch", "concatenate along channels or time")
    return recorder.step(Concatenate(chosen), list(tensors), tensors[0].axes)


def flatten(recorder: StepRecorder, x: Ref, start_dim: int = 0, end_dim: int = -1) -> Ref:
    """Axes start_dim .. end_dim as one."""
    first, last = start_dim % x.axes, end_dim % x.axes
    return recorder.step(Reshape(lambda t: t.flatten(first, last)), [x], x.axes - (last - first), x)


def _view(recorder: StepRecorder, x: Ref, *shape: Any) -> Ref:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], list | tuple | torch.Size) else shape
    if len(shape) == 1 and isinstance(shape[0], Ref):
        return recorder.step(Reshape(lambda t, s: t.reshape(s)), [x, shape[0]], x.axes, x)
    refs = [s for s in sizes if isinstance(s, Ref)]
    build = filled(lambda *full: tuple(full), sizes)
    return recorder.step(Reshape(lambda t, *found: t.reshape(build(*found))), [x, *refs], len(sizes), x)


def _squeeze(recorder: StepRecorder, x: Ref, dim: int | Sequence[int] | None = None) -> Ref:
    if dim is None:
        raise Refusal("squeeze of every axis", "name the axis, or use flatten(1)")
    axes = tuple(d % x.axes for d in ((dim,) if isinstance(dim, int) else dim))
    if 0 in axes:
        raise Refusal("squeeze of the batch", "name axes without the first")
    return recorder.step(Reshape(lambda t: t.squeeze(axes)), [x], x.axes - len(axes), x)


def _unsqueeze(recorder: StepRecorder, x: Ref, dim: int) -> Ref:
    axis = dim % (x.axes + 1)
    if axis == 0:
        raise Refusal("unsqueeze before the batch", "name another axis")
    return recorder.step(Reshape(lambda t: t.unsqueeze(axis)), [x], x.axes + 1, x)


def _permute(recorder: StepRecorder, x: Ref, *order: Any) -> Ref:
    chosen = order[0] if len(order) == 1 and isinstance(order[0], list | tuple) else order
    axes = tuple(int(d) % x.axes for d in chosen)
    if axes[0] != 0:
        raise Refusal("permute that moves the batch", "keep the first axis first")
    return recorder.step(Permute(axes), [x], x.axes, x)


def _transpose(recorder: StepRecorder, x: Ref, dim0: int, dim1: int) -> Ref:
    order = list(range(x.axes))
    a, b = dim0 % x.axes, dim1 % x.axes
    order[a], order[b] = order[b], order[a]
    return _permute(recorder, x, order)


def _mean(recorder: StepRecorder, x: Ref, dim: Any = None, keepdim: bool = False) -> Ref:
    operation = table.mean(dim, keepdim, x.axes)
    return recorder.step(operation, [x], x.axes if keepdim else x.axes - len(operation.axes))


def _item(recorder: StepRecorder, x: Ref, index: Any) -> Ref:
    parts = index if isinstance(index, tuple) else (index,)
    if any(part is Ellipsis for part in parts):
        at = parts.index(Ellipsis)
        parts = (*parts[:at], *[slice(None)] * (x.axes - len(parts) + 1), *parts[at + 1 :])
    if not all(isinstance(part, slice) for part in parts) or parts[0] != slice(None):
        raise Refusal(f"indexing with {index!r}", "use slices, and keep the whole first axis")
    for part in parts:
        if not all(isinstance(n, int | None) for n in (part.start, part.stop, part.step)):
            raise Refusal("a slice with computed bounds", "use constant bounds")
    return recorder.step(Slice(tuple(parts)), [x], x.axes, x)


def _shape(recorder: StepRecorder, x: Ref, name: str = "shape") -> Ref:
    if name == "ndim":
        return x.axes  # type: ignore[return-value]
    if name != "shape":
        raise Refusal(f"attribute {name!r} of an activation", "use shape")
    return recorder.step(ShapeValue(lambda t: tuple(t.shape)), [x], 0)


def _size(recorder: StepRecorder, x: Ref, dim: int | None = None) -> Ref:
    return recorder.step(ShapeValue(lambda t: tuple(t.shape) if dim is None else t.shape[dim]), [x], 0)


def _convolution(
    recorder: StepRecorder,
    x: Ref,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Ref:
    if not isinstance(weight, Tensor):
        raise Refusal("a convolution with computed weights", "use weights that are parameters")
    return recorder.step(
        table.convolution(weight, bias, stride, padding, dilation, groups, recorder.rules), [x], x.axes
    )


def _linear(recorder: StepRecorder, x: Ref, weight: Tensor, bias: Tensor | None = None) -> Ref:
    if not isinstance(weight, Tensor):
        raise Refusal("a linear layer with computed weights", "use weights that are parameters")
    return recorder.step(table.linear(weight, bias, recorder.rules), [x], x.axes)


def _norm(
    recorder: StepRecorder,
    x: Ref,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Ref:
    if training:
        raise Refusal("batch norm in training mode", "call model.eval() and pass training=self.training")
    return recorder.made(table.norm(running_mean, running_var, weight, bias, eps, recorder.rules), x)


def _dropout(recorder: StepRecorder, x: Ref, p: float = 0.5, training: bool = True, inplace: bool = False) -> Ref:
    if training and p > 0:
        raise Refusal("dropout in training mode", "pass training=self.training")
    return x


def _same(recorder: StepRecorder, x: Ref, *args: Any, **kwargs: Any) -> Ref:
    return x


def _copy(recorder: StepRecorder, x: Ref, **kwargs: Any) -> Ref:
    return recorder.step(Identity(), [x], x.axes)


def _pad(recorder: StepRecorder, x: Ref, pad: Any, mode: str = "constant", value: float | None = None) -> Ref:
    return recorder.step(table.pad(pad, mode, value), [x], x.axes)


def _pool(make: Callable[..., Operation], axes: int) -> Callable[..., Ref]:
    def call(recorder: StepRecorder, x: Ref, *args: Any, **kwargs: Any) -> Ref:
        names = {"kernel_size": "size", "output_size": "size"}
        operation = make(axes, *args, **{names.get(k, k): v for k, v in kwargs.items()})
        return recorder.step(operation, [x], x.axes)

    return call


def _calls() -> dict[Any, Callable[..., Any]]:
    known: dict[Any, Callable[..., Any]] = dict.fromkeys(table.RELUS, _relu) | dict.fromkeys(table.ADDS, _add)
    known |= dict.fromkeys([torch.sigmoid, F.sigmoid, "sigmoid"], _sigmoid) | {F.silu: _swish}
    known |= dict.fromkeys([operator.mul, torch.mul, "mul", operator.imul, "mul_"], _multiply)
    known |= dict.fromkeys([operator.truediv, torch.div, "div"], _divide)
    known |= dict.fromkeys([torch.cat, torch.concat, torch.concatenate], _concatenate)
    known |= dict.fromkeys([torch.flatten, "flatten"], flatten)
    known |= dict.fromkeys(["view", "reshape", torch.reshape], _view)
    known |= dict.fromkeys([torch.squeeze, "squeeze"], _squeeze)
    known |= dict.fromkeys([torch.unsqueeze, "unsqueeze"], _unsqueeze)
    known |= dict.fromkeys([torch.permute, "permute"], _permute)
    known |= dict.fromkeys([torch.transpose, "transpose"], _transpose)
    known |= dict.fromkeys([torch.mean, "mean"], _mean)
    known |= dict.fromkeys([F.conv3d, F.conv2d, torch.conv3d, torch.conv2d], _convolution)
    known |= dict.fromkeys([F.dropout, F.dropout2d, F.dropout3d, torch.dropout], _dropout)
    known |= dict.fromkeys(["detach", "type_as"], _same) | dict.fromkeys(["contiguous", "clone", torch.clone], _copy)
    known |= {operator.getitem: _item, getattr: _shape, "size": _size, F.linear: _linear, F.batch_norm: _norm}
    known |= {F.pad: _pad, "dim": lambda _, x: x.axes, **tokens.CALLS}
    for axes in (2, 3):
        known[getattr(F, f"max_pool{axes}d")] = _pool(table.max_pool, axes)
        known[getattr(F, f"avg_pool{axes}d")] = _pool(table.average_pool, axes)
        known[getattr(F, f"adaptive_avg_pool{axes}d")] = _pool(table.adaptive_average_pool, axes)
    return known


CALLS = _calls()
"""Function, or name of a method of tensors -> what records it: (recorder, arguments of the call) -> value."""
