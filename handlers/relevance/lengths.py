"""How many frames a row of the relevance matrix needs (ATR paper, 3.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

SLACK = 1e-7
"""A window that misses the asked share by rounding only counts as reaching it."""


def row_length(row: Sequence[float], anchor: int, share: float) -> int:
    """Frames of the shortest contiguous window that contains `anchor` and at least `share` of the row's sum.

    0 where that is not defined: the row sums to 0 or is not finite.
    """
    prefix = [0.0]
    for value in row:
        prefix.append(prefix[-1] + value)
    total = prefix[-1]
    size = sum(abs(value) for value in row)
    if not math.isfinite(size) or abs(total) <= 1e-6 * size:
        return 0
    for length in range(1, len(row) + 1):
        for first in range(max(0, anchor - length + 1), min(anchor, len(row) - length) + 1):
            if (prefix[first + length] - prefix[first]) / total >= share - SLACK:
                return length
    return len(row)


def row_lengths(matrix: Tensor, anchors: Sequence[float], share: float) -> Tensor:
    """[T'] int64 lengths of the rows of a matrix [T', N]; the anchor is the frame nearest the row's centre.

    Of two equally near frames the earlier one counts.
    """
    last = matrix.shape[1] - 1
    nearest = [min(last, max(0, math.ceil(anchor - 0.5))) for anchor in anchors]
    rows = matrix.double().tolist()
    return torch.tensor(
        [row_length(row, a, share) for row, a in zip(rows, nearest, strict=True)],
        dtype=torch.int64,
        device=matrix.device,
    )


def summary(lengths: Tensor, row_logits: Tensor) -> tuple[float | None, float | None, str]:
    """(avg-ATR, max-ATR, reason) over the rows with positive logit, the average weighted by it.

    None, None and the reason where there is no such row.
    """
    logits = row_logits.double()
    if not bool(logits.isfinite().all()):
        return None, None, "the logits are not finite"
    if not bool((logits > 0).any()):
        return None, None, "no time step has a positive logit for this class"
    counts = (logits > 0) & (lengths > 0)
    if not bool(counts.any()):
        return None, None, "the rows with positive logit sum to 0, so no share of them is defined"
    weights = logits[counts]
    chosen = lengths[counts].double()
    return float((weights * chosen).sum() / weights.sum()), float(chosen.max()), ""
