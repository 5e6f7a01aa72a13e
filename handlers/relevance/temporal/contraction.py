"""Where rows from above and frames from below meet: a_ij = sum over units u of R_i(u) f_j(u)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from handlers.relevance.messages import Message, Span, combined, frames, full, laid, laid_out, to_spans, whole
from handlers.relevance.operations.base import Portion


def contract(message: Message, portion: Portion, x: Tensor) -> Tensor:
    """[rows, N] relevance of the portion's frames for every row, from one activation x [1, C, T, H, W].

    message: the rows' relevance at x. portion: the frames' parts of x; where it is explicit, the message must be a
    slope alone.
    """
    if portion.values is None:
        return in_frames(by_time(message, x), portion)
    assert message.slope is not None
    assert message.amount is None
    above, upper = laid_out(message.slope, message.spans)
    below, lower = laid_out(portion.values, portion.spans)
    result = above.new_zeros((len(upper), len(lower)))
    left, right = frames(above)[0].flatten(1), frames(below)[0].flatten(1)
    for t in range(x.shape[2]):
        rows, columns = _holding(upper, t), _holding(lower, t)
        if rows and columns:
            index = torch.tensor(list(rows), device=x.device)[:, None], torch.tensor(list(columns), device=x.device)
            result[index] += left[list(rows.values())] @ right[list(columns.values())].T
    return result


def by_time(message: Message, x: Tensor, rectify: bool = False) -> Tensor:
    """[rows, T] sum of R = x * slope + amount over channels and space; rectify: of its positive part."""
    values = message.amount
    if message.slope is not None:
        own = combined(torch.mul, message.slope, x, message.spans)
        values = own if values is None else own.add_(values)
    assert values is not None
    sums = (values.clamp(min=0) if rectify else values).sum((1, 3, 4), keepdim=True)
    if message.spans is not None:
        sums = whole(to_spans(sums, message.spans, full(len(message.spans), x.shape[2])), len(message.spans))
    return sums[:, 0, :, 0, 0]


def in_frames(sums: Tensor, portion: Portion) -> Tensor:
    """[rows, T] sums per time step as [rows, N] sums per frame."""
    result = sums.new_zeros((sums.shape[0], len(portion.frames)))
    columns = {frame: column for column, frame in enumerate(portion.frames)}
    for t in range(sums.shape[1]):
        column = columns.get(portion.first + portion.step * t)
        if column is not None:
            result[:, column] += sums[:, t]
    return result


def _holding(spans: Sequence[Span], t: int) -> dict[int, int]:
    """The rows that hold time step t, each with where it does so on the long axis."""
    return {row: at + t - first for row, (at, (first, stop)) in enumerate(laid(spans)) if first <= t < stop}
