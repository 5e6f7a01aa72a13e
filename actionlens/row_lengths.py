"""How many frames a row of the relevance matrix needs (ATR paper, 3.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

SLACK = 1e-7
"""A window that misses the asked share by rounding only counts as reaching it."""


def row_length(row: Sequence[float], anchor: int, share: float) -> int:
    """Frames of the shortest contiguous window that contains `anchor` and at least `share` of the row's sum.

    0 where that is not defined: the row sums to 0 or is not finite.
    """
    return len(row_window(row, anchor, share))


def row_window(row: Sequence[float], anchor: int, share: float) -> range:
    """The frames of that window, the earliest of several; empty where it is not defined."""
    prefix = [0.0]
    for value in row:
        prefix.append(prefix[-1] + value)
    total = prefix[-1]
    size = sum(abs(value) for value in row)
    if not math.isfinite(size) or abs(total) <= 1e-6 * size:
        return range(0)
    for length in range(1, len(row) + 1):
        for first in range(max(0, anchor - length + 1), min(anchor, len(row) - length) + 1):
            if (prefix[first + length] - prefix[first]) / total >= share - SLACK:
                return range(first, first + length)
    return range(len(row))


def row_lengths(matrix: Sequence[Sequence[float]], anchors: Sequence[float], share: float) -> list[int]:
    """Lengths of the rows of a matrix [T'][N]; the anchor is the frame nearest the row's centre.

    Of two equally near frames the earlier one counts.
    """
    nearest = nearest_frames(anchors, len(matrix[0]))
    return [row_length(row, anchor, share) for row, anchor in zip(matrix, nearest, strict=True)]


def nearest_frames(anchors: Sequence[float], frames: int) -> list[int]:
    """The frame of 0 .. frames - 1 nearest each row's centre; of two equally near ones the earlier."""
    return [min(frames - 1, max(0, math.ceil(anchor - 0.5))) for anchor in anchors]


def summary(lengths: Sequence[int], row_logits: Sequence[float]) -> tuple[float | None, float | None, str]:
    """(avg-ATR, max-ATR, reason) over the rows with positive logit, the average weighted by it.

    None, None and the reason where there is no such row.
    """
    if not all(map(math.isfinite, row_logits)):
        return None, None, "the logits are not finite"
    if not any(logit > 0 for logit in row_logits):
        return None, None, "no time step has a positive logit for this class"
    counted = [(logit, length) for logit, length in zip(row_logits, lengths, strict=True) if logit > 0 and length > 0]
    if not counted:
        return None, None, "the rows with positive logit sum to 0, so no share of them is defined"
    weighted = sum(logit * length for logit, length in counted) / sum(logit for logit, _ in counted)
    return weighted, float(max(length for _, length in counted)), ""
