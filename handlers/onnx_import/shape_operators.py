"""Operators that move, cut and join activations, and means over axes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from handlers.onnx_import.node_context import Call

_END = 2**31
"""Slices that end at or beyond it go to the end."""


def same(call: Call) -> None:
    """What leaves an activation as it is: Identity, Dropout, Cast to the type that activations have."""
    if call.node.op_type == "Cast" and call.attribute("to") != 1:  # TensorProto.FLOAT
        raise call.refused("to another type than float32")
    call.give(call.x())


def concatenate(call: Call) -> None:
    """Concat."""
    parts = [call.x(place) for place in range(len(call.node.input))]
    call.function(torch.cat, parts, call.attribute("axis"))


def flatten(call: Call) -> None:
    """Flatten behind the first axis."""
    if call.attribute("axis", 1) != 1:
        raise call.refused("from another axis than 1")
    call.function(torch.flatten, call.x(), 1)


def reshape(call: Call) -> None:
    """Reshape to a shape that is known but for one axis, which goes with the batch."""
    two, three = call.out_shapes()
    moving = [axis for axis, (a, b) in enumerate(zip(two, three, strict=True)) if a != b]
    if len(moving) != 1:
        raise call.refused(f"to {list(two)} whatever the batch; export it with a dynamic batch")
    call.function(torch.reshape, call.x(), tuple(-1 if axis in moving else n for axis, n in enumerate(two)))


def transpose(call: Call) -> None:
    """Transpose."""
    rank = len(call.shape())
    call.function(torch.permute, call.x(), tuple(call.attribute("perm", range(rank)[::-1])))


def squeeze(call: Call) -> None:
    """Squeeze of named axes, or of all that are 1."""
    axes = call.listed("axes", 1)
    if axes is None:
        axes = [axis for axis, n in enumerate(call.shape()) if n == 1]
    call.function(torch.squeeze, call.x(), tuple(axes))


def unsqueeze(call: Call) -> None:
    """Unsqueeze."""
    axes = call.listed("axes", 1) or []
    rank = len(call.shape()) + len(axes)
    x = call.x()
    for axis in sorted(axis % rank for axis in axes):
        x = call.function(torch.unsqueeze, x, axis)


def reduced(target: Callable[..., Any]) -> Callable[[Call], None]:
    """A mean, sum or maximum over axes."""

    def convert(call: Call) -> None:
        axes = call.listed("axes", 1)
        if not axes:
            if call.attribute("noop_with_empty_axes", 0):
                call.give(call.x())
                return
            axes = list(range(len(call.shape())))
        call.function(target, call.x(), tuple(axes), bool(call.attribute("keepdims", 1)))

    return convert


def sliced(call: Call) -> None:
    """Slice with constant bounds that go forward."""
    rank = len(call.shape())
    starts, ends = call.listed("starts", 1) or [], call.listed("ends", 2) or []
    axes = call.listed("axes", 3) or list(range(len(starts)))
    steps = call.listed("steps", 4) or [1] * len(starts)
    if any(step < 1 for step in steps):
        raise call.refused("backwards")
    parts = [slice(None)] * rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        parts[axis % rank] = slice(start or None, None if end >= _END else end, None if step == 1 else step)
    call.function(operator.getitem, call.x(), tuple(parts))


def split(call: Call) -> None:
    """Split, as slices."""
    axis, shape = call.attribute("axis", 0), call.shape()
    extent, count = shape[axis], len(call.node.output)
    sizes = call.listed("split", 1) or [-(-extent // count)] * count
    rank, first = len(shape), 0
    for place, size in enumerate(sizes):
        parts = [slice(None)] * rank
        parts[axis % rank] = slice(first or None, None if place == count - 1 else first + size)
        part = call.network.fx.call_function(operator.getitem, (call.x(), tuple(parts)))
        call.give(part, place)
        first += size


def gather(call: Call) -> None:
    """Gather by constant positions."""
    positions, axis = call.constant(1), call.attribute("axis", 0)
    if positions.ndim > 1:
        raise call.refused("by a table of positions")
    if positions.ndim == 0:
        call.function(torch.select, call.x(), axis, int(positions))
    else:
        call.function(torch.index_select, call.x(), axis, call.x(1))


def pad(call: Call) -> None:
    """Pad with a constant."""
    if (mode := call.attribute("mode", "constant")) != "constant":
        raise call.refused(f"with mode {mode}")
    amounts = call.listed("pads", 1) or []
    rank = len(call.shape())
    axes = [int(axis) % rank for axis in call.constant(3, range(rank))]
    before, behind = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        before[axis], behind[axis] = amounts[place], amounts[place + len(axes)]
    flat = [amount for axis in reversed(range(rank)) for amount in (before[axis], behind[axis])]
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        del flat[-2:]
    value = float(call.attribute("value", call.constant(2, 0.0)))
    call.function(F.pad, call.x(), tuple(flat), "constant", value)
