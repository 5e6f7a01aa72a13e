"""Reads an explanation with one number per frame, in one line for people."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from actionlens.tensors import to_array
from actionlens.v1 import explanation_pb2

_MOST_RUNS = 6
# The array of a temporal mask that says which frames it holds, and its measures.
_MASK = "on"
_BEFORE, _AFTER = "original_score", "shown_score"
_AFTER_ONCE = {"freeze": "freeze_score", "reverse": "reverse_score"}
"""In results that were stored before there was `_AFTER`: now these are of the mask that the descent found."""


def read_frames(explanation: explanation_pb2.Explanation, values: NDArray[np.float64], used: Sequence[int]) -> str:
    """One line about a frame attribution.

    values: float64 [T] of the target; used: position of each model frame in the source. A mask is read as the frames
    that it holds and the score without them, shares of a score, in its unit, as frames that support and frames that
    distract.
    """
    if _MASK in explanation.arrays:
        return _mask(explanation, to_array(explanation.arrays[_MASK]).ravel() > 0.5, used)
    if not np.any(values):
        return "no frame changes the score"
    best = int(values.argmax())
    unit = explanation.frame_attribution.unit
    gain = f"{values[best]:+.3g} {unit}" if unit else f"{values[best]:+.3g}"
    most = f", most {used[best]} ({gain})" if values[best] > 0 else ""
    parts = []
    if most:
        parts.append(f"supporting {named(values > 0, used)}{most}")
    if (values <= 0).any():
        parts.append(f"distracting {named(values <= 0, used)}")
    return "; ".join(parts)


def named(chosen: NDArray[np.bool_], used: Sequence[int]) -> str:
    """The chosen model frames as runs in the source: "frame 12", "frames 3, 7-9 and 4 more". chosen: bool [T]."""
    frames = np.flatnonzero(chosen).tolist()
    breaks = [0, *(end + 1 for end, (a, b) in enumerate(pairwise(frames)) if b > a + 1), len(frames)]
    runs = [(used[frames[first]], used[frames[end - 1]]) for first, end in pairwise(breaks)]
    shown = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs[:_MOST_RUNS])
    rest = sum(end - first for first, end in list(pairwise(breaks))[_MOST_RUNS:])
    many = "frames" if len(frames) > 1 else "frame"
    return f"{many} {shown}" + (f" and {rest} more" if rest else "")


def _mask(explanation: explanation_pb2.Explanation, held: NDArray[np.bool_], used: Sequence[int]) -> str:
    if not held.any():
        # The method says in its notes why it shows none.
        return explanation.notes[0] if explanation.notes else "no frame stands out"
    where = named(held, used)
    kind = str(dict(explanation.provenance.parameters).get("perturbation", "freeze"))
    after_name = _AFTER if _AFTER in explanation.measures else _AFTER_ONCE.get(kind, "")
    before, after = (explanation.measures.get(name) for name in (_BEFORE, after_name))
    verb = "carry" if held.sum() > 1 else "carries"
    if before is None or after is None:
        return f"{where} {verb} the decision"
    how = "frozen" if kind == "freeze" else "reversed"
    return f"{where} {verb} the decision: {how}, they take P from {before:.2f} to {after:.2f}"
