"""Operators that move, cut and join activations, and means over axes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from handlers.onnx_import.node_context import NodeContext

_END = 2**31
"""Slices that end at or beyond it go to the end."""


def same(context: NodeContext) -> None:
    """Pass an activation on as it is: Identity, Dropout, Cast to the type that activations have."""
    if context.node.op_type == "Cast" and context.attribute("to") != 1:  # TensorProto.FLOAT
        raise context.refused("to another type than float32")
    context.give(context.x())


def concatenate(context: NodeContext) -> None:
    """Concat."""
    parts = [context.x(index) for index in range(len(context.node.input))]
    context.function(torch.cat, parts, context.attribute("axis"))


def flatten(context: NodeContext) -> None:
    """Flatten behind the first axis."""
    if context.attribute("axis", 1) != 1:
        raise context.refused("from another axis than 1")
    context.function(torch.flatten, context.x(), 1)


def reshape(context: NodeContext) -> None:
    """Reshape to a shape that is known but for one axis, which goes with the batch."""
    two, three = context.out_shapes()
    moving = [axis for axis, (a, b) in enumerate(zip(two, three, strict=True)) if a != b]
    if len(moving) != 1:
        raise context.refused(f"to {list(two)} whatever the batch; export it with a dynamic batch")
    context.function(torch.reshape, context.x(), tuple(-1 if axis in moving else n for axis, n in enumerate(two)))


def transpose(context: NodeContext) -> None:
    """Transpose."""
    rank = len(context.shape())
    context.function(torch.permute, context.x(), tuple(context.attribute("perm", range(rank)[::-1])))


def squeeze(context: NodeContext) -> None:
    """Squeeze of named axes, or of all that are 1."""
    axes = context.listed("axes", 1)
    if axes is None:
        axes = [axis for axis, n in enumerate(context.shape()) if n == 1]
    context.function(torch.squeeze, context.x(), tuple(axes))


def unsqueeze(context: NodeContext) -> None:
    """Unsqueeze."""
    axes = context.listed("axes", 1) or []
    rank = len(context.shape()) + len(axes)
    x = context.x()
    for axis in sorted(axis % rank for axis in axes):
        x = context.function(torch.unsqueeze, x, axis)


def reduced(target: Callable[..., Any]) -> Callable[[NodeContext], None]:
    """A mean, sum or maximum over axes."""

    def convert(context: NodeContext) -> None:
        axes = context.listed("axes", 1)
        if not axes:
            if context.attribute("noop_with_empty_axes", 0):
                context.give(context.x())
                return
            axes = list(range(len(context.shape())))
        context.function(target, context.x(), tuple(axes), bool(context.attribute("keepdims", 1)))

    return convert


def sliced(context: NodeContext) -> None:
    """Slice with constant bounds that go forward."""
    rank = len(context.shape())
    starts, ends = context.listed("starts", 1) or [], context.listed("ends", 2) or []
    axes = context.listed("axes", 3) or list(range(len(starts)))
    steps = context.listed("steps", 4) or [1] * len(starts)
    if any(step < 1 for step in steps):
        raise context.refused("backwards")
    parts = [slice(None)] * rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        parts[axis % rank] = slice(start or None, None if end >= _END else end, None if step == 1 else step)
    context.function(operator.getitem, context.x(), tuple(parts))


def split(context: NodeContext) -> None:
    """Split, as slices."""
    axis, shape = context.attribute("axis", 0), context.shape()
    extent, count = shape[axis], len(context.node.output)
    sizes = context.listed("split", 1) or [-(-extent // count)] * count
    rank, first = len(shape), 0
    for index, size in enumerate(sizes):
        parts = [slice(None)] * rank
        parts[axis % rank] = slice(first or None, None if index == count - 1 else first + size)
        part = context.network.fx.call_function(operator.getitem, (context.x(), tuple(parts)))
        context.give(part, index)
        first += size


def gather(context: NodeContext) -> None:
    """Gather by constant positions."""
    positions, axis = context.constant(1), context.attribute("axis", 0)
    if positions.ndim > 1:
        raise context.refused("by a table of positions")
    if positions.ndim == 0:
        context.function(torch.select, context.x(), axis, int(positions))
    else:
        context.function(torch.index_select, context.x(), axis, context.x(1))


def pad(context: NodeContext) -> None:
    """Pad with a constant."""
    if (mode := context.attribute("mode", "constant")) != "constant":
        raise context.refused(f"with mode {mode}")
    amounts = context.listed("pads", 1) or []
    rank = len(context.shape())
    axes = [int(axis) % rank for axis in context.constant(3, range(rank))]
    before, behind = [0] * rank, [0] * rank
    for index, axis in enumerate(axes):
        before[axis], behind[axis] = amounts[index], amounts[index + len(axes)]
    flat = [amount for axis in reversed(range(rank)) for amount in (before[axis], behind[axis])]
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        del flat[-2:]
    value = float(context.attribute("value", context.constant(2, 0.0)))
    context.function(F.pad, context.x(), tuple(flat), "constant", value)
