"""Rows that live on a few time steps only.

A row is one question (an output time step of one class) on its way down, or one input frame on its way up. Each
is zero outside a span of time steps, so only the spans are carried, one behind the other on one long time axis: values
[1, C, M, H, W] in which row r holds the time steps of spans[r], M steps in all. Spans lie inside the clip and may be
empty; spans None means that every row has all T steps, [rows, C, T, H, W].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Span = tuple[int, int]
"""Time steps first .. stop - 1."""
Spans = tuple[Span, ...] | None


@dataclass(frozen=True)
class Message:
    """Relevance of the rows at one activation x: R = x * slope + amount, either part may be absent.

    slope, amount: [rows * m, ...] where the activation is [m, ...], or [1, C, M, H, W] with spans.
    Carrying R / x instead of R turns every rule into one transposed linear map and never divides by x.
    fresh: nobody else reads these tensors, so whoever reads the message last may write into them.
    """

    slope: Tensor | None
    amount: Tensor | None = None
    spans: Spans = None
    fresh: bool = False

    @property
    def sample(self) -> Tensor:
        """Either part; both have the same shape."""
        tensor = self.slope if self.slope is not None else self.amount
        assert tensor is not None
        return tensor


class Elementwise(Protocol):
    """A function of two tensors that can write its result into a third, such as torch.mul."""

    def __call__(self, first: Tensor, second: Tensor, /, *, out: Tensor | None = None) -> Tensor: ...


def frames(tensor: Tensor) -> Tensor:
    """[N, C, T, H, W] as [N, T, H, W, C], contiguous (a view where the tensor is channels-last)."""
    return tensor.permute(0, 2, 3, 4, 1).contiguous()


def from_frames(tensor: Tensor) -> Tensor:
    """The inverse view of `frames`."""
    return tensor.permute(0, 4, 1, 2, 3)


def full(rows: int, steps: int) -> tuple[Span, ...]:
    """Spans of rows that have all time steps."""
    return ((0, steps),) * rows


def laid(spans: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """For every row where it begins on the long axis, and its span."""
    at = 0
    for first, stop in spans:
        yield at, (first, stop)
        at += stop - first


def look(tensor: Tensor, spans: Spans) -> Tensor:
    """The part of one activation that rows see, [1, C, T, H, W] to [1, C, M, H, W]; a view where that is possible."""
    if spans is None:
        return tensor
    source = frames(tensor)[0]
    steps = [step for span in spans for step in range(*span)]
    if steps and steps == list(range(steps[0], steps[0] + len(steps))):
        return from_frames(source[None, steps[0] : steps[-1] + 1])
    return from_frames(source.index_select(0, torch.tensor(steps, dtype=torch.long, device=tensor.device))[None])


def spread(tensor: Tensor, spans: Spans, rows: Tensor) -> Tensor:
    """An activation [m, ...] so that it multiplies rows [rows * m, ...], or what rows with spans see of it."""
    if spans is not None:
        return look(tensor, spans)
    count = rows.shape[0] // tensor.shape[0]
    return tensor if tensor.shape[0] == 1 or count == 1 else tensor.repeat(count, *([1] * (tensor.dim() - 1)))


def combined(function: Elementwise, values: Tensor, tensor: Tensor, spans: Spans, fresh: bool = False) -> Tensor:
    """function(values, what the rows see of an activation), without writing out what they see.

    fresh: the values may be written into.
    """
    if torch.compiler.is_exporting():
        return function(values, spread(tensor, spans, values))
    # Anywhere but on a CPU the call itself costs more than the copy of what a row sees.
    if spans is None or values.device.type != "cpu":
        return function(values, spread(tensor, spans, values), out=values if fresh else None)
    out = values if fresh else torch.empty_like(values)
    for at, (first, stop) in laid(spans):
        if first < stop:
            own = slice(at, at + stop - first)
            function(values[:, :, own], tensor[:, :, first:stop], out=out[:, :, own])
    return out


def to_spans(values: Tensor, spans: Sequence[Span], target: Sequence[Span]) -> Tensor:
    """Rows on other spans: what the target does not hold is cut off, what the source does not hold is zero."""
    if tuple(spans) == tuple(target):
        return values
    source = frames(values)[0]
    parts = [source[:0]]
    for (at, (first, stop)), (low, high) in zip(laid(spans), target, strict=True):
        begin = min(max(first, low), high)
        end = max(begin, min(stop, high))
        parts += _zeros(source, begin - low), source[at + begin - first : at + end - first], _zeros(source, high - end)
    parts = [part for part in parts if len(part)] or parts[:1]
    return from_frames((parts[0] if len(parts) == 1 else torch.cat(parts))[None])


def _zeros(source: Tensor, steps: int) -> Tensor:
    return source.new_zeros((steps, *source.shape[1:])) if steps > 0 else source[:0]


def whole(values: Tensor, rows: int) -> Tensor:
    """Rows on the long axis that all have all time steps, as [rows, C, T, H, W]; a view."""
    steps = frames(values)[0]
    return from_frames(steps.view(rows, -1, *steps.shape[1:]))


def laid_out(values: Tensor, spans: Spans) -> tuple[Tensor, tuple[Span, ...]]:
    """The rows on the long axis, whatever they were; a view."""
    if spans is not None:
        return values, spans
    return from_frames(frames(values).flatten(0, 1)[None]), full(values.shape[0], values.shape[2])


def settled(values: Tensor, spans: tuple[Span, ...], steps: int) -> tuple[Tensor, Spans]:
    """The rows without spans where all of them have all time steps, or none has any."""
    if values.shape[2] == 0:
        return values.new_zeros((len(spans), values.shape[1], steps, *values.shape[3:])), None
    return (whole(values, len(spans)), None) if spans == full(len(spans), steps) else (values, spans)


def dense(message: Message, steps: int) -> Message:
    """The message with every row spanning all time steps 0 .. steps-1."""
    spans = message.spans
    if spans is None:
        return message
    target = full(len(spans), steps)
    parts = [
        None if t is None else whole(to_spans(t, spans, target), len(spans)) for t in (message.slope, message.amount)
    ]
    return Message(parts[0], parts[1], None, message.fresh)


def union(spans: Sequence[tuple[Span, ...]]) -> tuple[Span, ...]:
    """For every row the narrowest span that holds all of its spans."""
    return tuple(_hull([span for span in own if span[0] < span[1]]) for own in zip(*spans, strict=True))


def _hull(spans: Sequence[Span]) -> Span:
    return (min(first for first, _ in spans), max(stop for _, stop in spans)) if spans else (0, 0)


def added(tensors: Sequence[Tensor], spans: Sequence[Spans], steps: int, free: Sequence[bool]) -> tuple[Tensor, Spans]:
    """Sum of rows on different spans, on the narrowest spans that hold all. free: which tensors may be written into."""
    if all(own == spans[0] for own in spans):
        order = sorted(range(len(tensors)), key=lambda i: not free[i])
        first, second = tensors[order[0]], tensors[order[1]]
        result = first.add_(second) if free[order[0]] else torch.add(first, second)
        for other in order[2:]:
            result += tensors[other]
        return result, spans[0]
    pieces = [laid_out(t, own) for t, own in zip(tensors, spans, strict=True)]
    target = union([own for _, own in pieces])
    order = sorted(range(len(pieces)), key=lambda i: (pieces[i][1] != target, not free[i]))
    values, own = pieces[order[0]]
    result = to_spans(values, own, target)
    if result is values and not free[order[0]]:
        result = result.clone()
    for other in order[1:]:
        _add_rows(result, target, *pieces[other])
    return settled(result, target, steps)


def _add_rows(result: Tensor, target: tuple[Span, ...], values: Tensor, spans: tuple[Span, ...]) -> None:
    """Add rows, in place, to rows whose spans hold theirs."""
    for (into, (low, _)), (at, (first, stop)) in zip(laid(target), laid(spans), strict=True):
        if first < stop:
            begin = into + first - low
            result[:, :, begin : begin + stop - first] += values[:, :, at : at + stop - first]


def total(messages: Sequence[Message], steps: int) -> Message:
    """Sum of messages at one activation with `steps` time steps (ignored where no message has spans)."""
    if len(messages) == 1:
        return messages[0]
    if all(m.amount is None for m in messages):
        slopes = [m.slope for m in messages if m.slope is not None]
        slope, spans = added(slopes, [m.spans for m in messages], steps, [m.fresh for m in messages])
        return Message(slope, None, spans, fresh=True)
    if any(m.spans != messages[0].spans for m in messages):
        messages = [dense(m, steps) for m in messages]
    return Message(_sum([m.slope for m in messages]), _sum([m.amount for m in messages]), messages[0].spans)


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
