"""Rows that live on a few time steps only.

A row is one question (an output time step of one class) on its way down, or one input frame on its way up. Each
is zero outside a window of time steps, so only the window is carried: values [rows, C, width, H, W] with one
start per row; starts None means that every row spans all T steps. Windows may reach over the clip's ends; there
the values are zero.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Starts = tuple[int, ...] | None


@dataclass(frozen=True)
class Message:
    """Relevance of the rows at one activation x: R = x * slope + amount, either part may be absent.

    slope, amount: [rows * m, ...] where the activation is [m, ...], or [rows, C, width, H, W] with starts.
    Carrying R / x instead of R turns every rule into one transposed linear map and never divides by x.
    fresh: nobody else reads these tensors, so whoever reads the message last may write into them.
    """

    slope: Tensor | None
    amount: Tensor | None = None
    starts: Starts = None
    fresh: bool = False

    @property
    def sample(self) -> Tensor:
        """Either part; both have the same shape."""
        tensor = self.slope if self.slope is not None else self.amount
        assert tensor is not None
        return tensor


def frames(tensor: Tensor) -> Tensor:
    """[N, C, T, H, W] as [N, T, H, W, C], contiguous (a view where the tensor is channels-last)."""
    return tensor.permute(0, 2, 3, 4, 1).contiguous()


def from_frames(tensor: Tensor) -> Tensor:
    """The inverse view of `frames`."""
    return tensor.permute(0, 4, 1, 2, 3)


def look(tensor: Tensor, starts: Starts, width: int) -> Tensor:
    """The windows of one activation [1, C, T, H, W] as [rows, C, width, H, W]; a view where that is possible."""
    if starts is None:
        return tensor
    source = frames(tensor)[0]
    steps = source.shape[0]
    front = max(0, -min(starts))
    back = max(0, max(starts) + width - steps)
    if front or back:
        padded = source.new_zeros((front + steps + back, *source.shape[1:]))
        padded[front : front + steps] = source
        source = padded
    step = starts[1] - starts[0] if len(starts) > 1 else 0
    # A graph that other runtimes run has no strides; there the windows are gathered.
    views = not torch.compiler.is_exporting()
    if views and step >= 0 and all(b - a == step for a, b in itertools.pairwise(starts)):
        stride = source.stride()
        rows = source.as_strided(
            (len(starts), width, *source.shape[1:]),
            (step * stride[0], *stride),
            source.storage_offset() + (starts[0] + front) * stride[0],
        )
        return from_frames(rows)
    index = torch.tensor([front + start + k for start in starts for k in range(width)], device=tensor.device)
    return from_frames(source.index_select(0, index).view(len(starts), width, *source.shape[1:]))


def place(values: Tensor, starts: Starts, target: Starts, width: int) -> Tensor:
    """Move rows to other windows: [rows, C, w, H, W] at `starts` -> [rows, C, width, H, W] at `target`.

    What the target does not cover is cut off; what the source does not cover is zero. Starts None counts as 0.
    """
    rows, have = values.shape[0], values.shape[2]
    source = starts if starts is not None else (0,) * rows
    into = target if target is not None else (0,) * rows
    if source == into and have == width:
        return values
    old = frames(values)
    new = old.new_zeros((rows, width, *old.shape[2:]))
    offsets = [a - b for a, b in zip(source, into, strict=True)]
    if len(set(offsets)) == 1:
        pieces = [(slice(None), offsets[0])]
    else:
        pieces = [(slice(row, row + 1), offset) for row, offset in enumerate(offsets)]
    for row, offset in pieces:
        first, last = max(0, offset), min(width, offset + have)
        if first < last:
            new[row, first:last] = old[row, first - offset : last - offset]
    return from_frames(new)


def union(spans: Sequence[tuple[Starts, int]], rows: int, steps: int) -> tuple[Starts, int]:
    """The narrowest common windows (starts, width) that hold all spans; dense where they would span the clip."""
    if any(starts is None for starts, _ in spans):
        return None, steps
    first = tuple(min(starts[r] for starts, _ in spans if starts is not None) for r in range(rows))
    last = [max(starts[r] + width for starts, width in spans if starts is not None) for r in range(rows)]
    width = max(b - a for a, b in zip(first, last, strict=True))
    return (None, steps) if width >= steps else (first, width)


def trimmed(starts: tuple[int, ...], width: int, steps: int) -> tuple[tuple[int, ...], int]:
    """Windows cut to the clip's 0 .. steps-1, where that makes them narrower by a tenth or more; else the same."""
    first = tuple(min(max(0, start), steps) for start in starts)
    last = [max(a, min(steps, start + width)) for a, start in zip(first, starts, strict=True)]
    narrow = max(1, max(b - a for a, b in zip(first, last, strict=True)))
    return (first, narrow) if narrow <= 0.9 * width else (starts, width)


def inside(message: Message, steps: int) -> Message:
    """The message without the parts of its windows that lie outside the clip, where that saves work."""
    if message.starts is None:
        return message
    starts, width = trimmed(message.starts, message.sample.shape[2], steps)
    if starts is message.starts:
        return message
    parts = [None if t is None else place(t, message.starts, starts, width) for t in (message.slope, message.amount)]
    return Message(parts[0], parts[1], starts, message.fresh)


def confined(message: Message, steps: int) -> Message:
    """The message with zeros where its windows reach over the ends, for a way down that makes those time steps real.

    Beyond the ends a slope counts for nothing only because the activation is 0 there.
    """
    starts, width = message.starts, message.sample.shape[2]
    if starts is None or all(0 <= start <= steps - width for start in starts):
        return message
    outside = torch.tensor(
        [[not 0 <= start + k < steps for k in range(width)] for start in starts], device=message.sample.device
    )[:, None, :, None, None]
    parts = [None if t is None else t.masked_fill(outside, 0) for t in (message.slope, message.amount)]
    return Message(parts[0], parts[1], starts, fresh=True)


def dense(message: Message, steps: int) -> Message:
    """The message with every row spanning all time steps 0 .. steps-1."""
    if message.starts is None:
        return message
    slope = None if message.slope is None else place(message.slope, message.starts, None, steps)
    amount = None if message.amount is None else place(message.amount, message.starts, None, steps)
    return Message(slope, amount, None, message.fresh)


def added(
    tensors: Sequence[Tensor], starts: Sequence[Starts], steps: int, fresh: Sequence[bool] | None = None
) -> tuple[Tensor, Starts]:
    """Sum of rows on different windows, on the narrowest windows that hold all.

    fresh: which tensors may be written into; without it the sum is always a new tensor.
    """
    rows = tensors[0].shape[0]
    free = [False] * len(tensors) if fresh is None else fresh
    if all(start == starts[0] and t.shape == tensors[0].shape for t, start in zip(tensors, starts, strict=True)):
        order = sorted(range(len(tensors)), key=lambda i: not free[i])
        first, second = tensors[order[0]], tensors[order[1]]
        result = first.add_(second) if free[order[0]] else torch.add(first, second)
        for other in order[2:]:
            result += tensors[other]
        return result, starts[0]
    target, width = union([(start, t.shape[2]) for t, start in zip(tensors, starts, strict=True)], rows, steps)
    order = sorted(
        range(len(tensors)), key=lambda i: ((starts[i], tensors[i].shape[2]) != (target, width), not free[i])
    )
    lowest = order[0]
    result = place(tensors[lowest], starts[lowest], target, width)
    if result is tensors[lowest] and not free[lowest]:
        result = result.clone()
    for other in order[1:]:
        _add_rows(result, target, tensors[other], starts[other])
    return result, target


def _add_rows(result: Tensor, target: Starts, values: Tensor, starts: Starts) -> None:
    """Add rows, in place, to rows whose windows hold theirs wherever they are not zero."""
    rows = result.shape[0]
    into = target if target is not None else (0,) * rows
    source = starts if starts is not None else (0,) * rows
    offsets = [a - b for a, b in zip(source, into, strict=True)]
    pieces = (
        [(slice(None), offsets[0])]
        if len(set(offsets)) == 1
        else [(slice(row, row + 1), offset) for row, offset in enumerate(offsets)]
    )
    for row, offset in pieces:
        first, last = max(0, offset), min(result.shape[2], offset + values.shape[2])
        if first < last:
            result[row, :, first:last] += values[row, :, first - offset : last - offset]


def total(messages: Sequence[Message], steps: int) -> Message:
    """Sum of messages at one activation with `steps` time steps (ignored where no message is windowed)."""
    if len(messages) == 1:
        return messages[0]
    if all(m.amount is None for m in messages):
        slopes = [m.slope for m in messages if m.slope is not None]
        slope, starts = added(slopes, [m.starts for m in messages], steps, [m.fresh for m in messages])
        return Message(slope, None, starts, fresh=True)
    if any(m.starts is not None for m in messages):
        spans = [(m.starts, m.sample.shape[2]) for m in messages]
        starts, width = union(spans, messages[0].sample.shape[0], steps)
        messages = [
            Message(
                None if m.slope is None else place(m.slope, m.starts, starts, width),
                None if m.amount is None else place(m.amount, m.starts, starts, width),
                starts,
            )
            for m in messages
        ]
    return Message(_sum([m.slope for m in messages]), _sum([m.amount for m in messages]), messages[0].starts)


def _sum(tensors: Sequence[Tensor | None]) -> Tensor | None:
    present = [tensor for tensor in tensors if tensor is not None]
    if not present:
        return None
    result = present[0]
    for tensor in present[1:]:
        result = result + tensor
    return result


def scaled(values: Tensor, factor: Tensor) -> Tensor:
    """values [rows * m, ...] times factor [m, ...] (or [rows, ...])."""
    if factor.shape[0] in (1, values.shape[0]):
        return values * factor
    return (values.reshape(-1, *factor.shape) * factor).reshape(values.shape)
