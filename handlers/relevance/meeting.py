"""Where rows from above and frames from below meet: a_ij = sum over units u of R_i(u) f_j(u)."""

from __future__ import annotations

import torch
from torch import Tensor

from handlers.relevance.operations.base import Portion
from handlers.relevance.windows import Message, frames, look


def met(message: Message, portion: Portion, x: Tensor) -> Tensor:
    """[rows, N] relevance of the portion's frames for every row, from one activation x [1, C, T, H, W].

    message: the rows' relevance at x. portion: the frames' parts of x; where it is explicit, the message must be a
    slope alone.
    """
    if portion.values is None:
        return _by_frame(message, portion, x)
    assert message.slope is not None
    assert message.amount is None
    above, below = frames(message.slope), frames(portion.values)
    rows, count = above.shape[0], below.shape[0]
    result = above.new_zeros((rows, count))
    for t in range(x.shape[2]):
        upper = _active(message.starts, rows, above.shape[1], t)
        lower = _active(portion.starts, count, below.shape[1], t)
        if not upper or not lower:
            continue
        left = torch.stack([above[row, at] for row, at in upper]).flatten(1)
        right = torch.stack([below[row, at] for row, at in lower]).flatten(1)
        index = torch.tensor([row for row, _ in upper], device=x.device)
        columns = torch.tensor([row for row, _ in lower], device=x.device)
        result[index[:, None], columns] += left @ right.T
    return result


def by_time(message: Message, x: Tensor, rectify: bool = False) -> Tensor:
    """[rows, width] sum of R = x * slope + amount over channels and space; rectify: of its positive part."""
    if message.slope is None or rectify or message.amount is not None:
        values = message.amount
        if message.slope is not None:
            own = message.slope * look(x, message.starts, message.slope.shape[2])
            values = own if values is None else own.add_(values)
        assert values is not None
        return (values.clamp(min=0) if rectify else values).sum((1, 3, 4))
    return (message.slope * look(x, message.starts, message.slope.shape[2])).sum((1, 3, 4))


def in_frames(sums: Tensor, message: Message, portion: Portion) -> Tensor:
    """[rows, width] sums per time step as [rows, N] sums per frame."""
    result = sums.new_zeros((sums.shape[0], len(portion.frames)))
    for row in range(sums.shape[0]):
        start = 0 if message.starts is None else message.starts[row]
        for k in range(sums.shape[1]):
            frame = portion.first + portion.step * (start + k)
            if frame in portion.frames:
                result[row, frame - portion.frames.start] += sums[row, k]
    return result


def _by_frame(message: Message, portion: Portion, x: Tensor) -> Tensor:
    return in_frames(by_time(message, x), message, portion)


def _active(starts: tuple[int, ...] | None, rows: int, width: int, t: int) -> list[tuple[int, int]]:
    """(row, offset) of the rows whose window holds time step t."""
    if starts is None:
        return [(row, t) for row in range(rows)]
    return [(row, t - start) for row, start in enumerate(starts) if 0 <= t - start < width]
