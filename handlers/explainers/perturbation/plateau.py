"""When an ascent has arrived: its score stands still and its mask is near binary."""

from __future__ import annotations

from collections.abc import Sequence

_WINDOW = 15
_SCORE_MOVES = 0.005
_MISFIT_MOVES = 0.02
NEAR_BINARY = 0.5
"""Of the share. Soft edges cost a small mask more of its share than a large one: a tenth of the clip keeps 0.1, a
hundredth 0.3."""


def arrived(scores: Sequence[float], misfits: Sequence[float]) -> bool:
    """Whether the last iterations changed nothing any more against those before them.

    scores: 0 .. 1, and misfits: parts of the share (`AscentState`), one per iteration so far.
    """
    if len(scores) < 2 * _WINDOW or misfits[-1] > NEAR_BINARY:
        return False
    score, misfit = (abs(_mean(v[-_WINDOW:]) - _mean(v[-2 * _WINDOW : -_WINDOW])) for v in (scores, misfits))
    return score <= _SCORE_MOVES and misfit <= _MISFIT_MOVES


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
