"""Reads an explanation, in one line for people, and measures when its evidence lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionlens.tensors import to_array
from actionlens.v1 import answer_pb2, explanation_pb2
from service.readings.areas import read_areas
from service.readings.frame_scores import read_frames
from service.readings.measured import read_evaluation

_ENOUGH = 2 / 3
# Total variation distance from the uniform profile below which nothing stands out.
_EVEN = 0.1
# A window longer than this share of the clip picks nothing out.
_LONG = 0.8


@dataclass(frozen=True, slots=True)
class Profile:
    """Positive relevance over time. shares: float64 [n], sum 1, or all 0. first, last: int [n], the model frames that
    each of the n steps stands for."""

    shares: NDArray[np.float64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Model frames first .. last (both included) carry this share (0 .. 1) of the positive relevance."""

    first: int
    last: int
    share: float


def frame_profile(explanation: explanation_pb2.Explanation, frames: int) -> NDArray[np.float64]:
    """Positive relevance per model frame: float64 [frames], in the units of the explanation.

    Saliency: positive values kept by the mask, summed over space, linear between the time steps. Relevance matrix:
    positive entries of the rows whose target logit is positive, summed over rows. Frame attribution: its positive
    part (the target's column when there is one per class). All 0 when there is no value. Values that are not finite
    count as 0. Raises ValueError when a tensor does not decode or has the wrong number of dimensions.
    """
    values, positions = _evidence(explanation, frames)
    if not values.size:
        return np.zeros(frames)
    return np.interp(np.arange(frames), positions, values)


def frame_scores(explanation: explanation_pb2.Explanation) -> NDArray[np.float64]:
    """A frame attribution's values for the target: float64 [T], 0 where not finite. Raises as `frame_profile`."""
    scores = to_array(explanation.frame_attribution.values)
    if scores.ndim == 2 and explanation.target.index < scores.shape[1]:
        scores = scores[:, explanation.target.index]
    scores = _dimensions(scores, 1, "frame_attribution.values")
    return np.where(np.isfinite(scores), scores, 0).astype(np.float64)


def busiest_window(explanation: explanation_pb2.Explanation, frames: int) -> TimeWindow | None:
    """The shortest run of the explanation's time steps that carries at least 2/3 of the positive relevance.

    Of several equally short ones the strongest. None when there is no positive relevance, when it is spread evenly,
    or when no run shorter than 0.8 of the clip carries so much. Raises ValueError as `frame_profile`.
    """
    profile = _profile(explanation, frames)
    return _window(profile) if profile is not None else None


def frame_entropy(explanation: explanation_pb2.Explanation, frames: int) -> float | None:
    """Entropy of the positive relevance per time step over its maximum: 0: one step holds all of it, 1: all are alike.

    None for a single step and where no relevance is positive. Raises ValueError as `frame_profile`.
    """
    values, _ = _evidence(explanation, frames)
    total = float(values.sum())
    if len(values) < 2 or total <= 0:
        return None
    shares = values[values > 0] / total
    return float(-(shares * np.log(shares)).sum()) / math.log(len(values))


def read_explanation(explanation: explanation_pb2.Explanation, report: answer_pb2.FrameReport) -> str:
    """One line: when the evidence lies and how much of it moves.

    report: which frames the model saw; the line speaks of positions in the source. For example
    "frames 19-25 carry 71 % of the relevance; motion share 38 %", "LRP: avg-ATR 5.9 of 16 frames; ...", "supporting
    frames 3, 7-9, most 8 (+0.2); distracting frame 12", "no positive evidence". Raises ValueError as `frame_profile`.
    """
    if explanation.HasField("failure"):
        return f"not available: {explanation.failure.message}"
    if explanation.WhichOneof("value") == "evaluation":
        return read_evaluation(explanation.evaluation)
    rule, read = propagation(explanation), _read(explanation, report)
    if explanation.quality.HasField("insertion_deletion_gap"):
        read = f"{read}; insertion-deletion gap {explanation.quality.insertion_deletion_gap:+.2f}"
    return f"{rule}: {read}" if rule else read


def propagation(explanation: explanation_pb2.Explanation) -> str:
    """By which relevance propagation it was made: "LRP" or "CLRP", and how contrasts were rectified where that makes
    another quantity of it. Empty for other methods, and where the answer does not say."""
    used = dict(explanation.provenance.parameters)
    method = used.get("base") if explanation.method == "selective-relevance" else explanation.method
    match method:
        case "dtd":
            return "LRP" if used else ""
        case "clrp":
            return "CLRP" if used.get("rectify", True) else "CLRP, not rectified"
        case "atr":
            return _of_matrix(str(used.get("relevance", "")).upper(), used.get("rectify"))
        case _:
            return ""


def _of_matrix(rule: str, rectify: object) -> str:
    match rule, rectify:
        case _, "frame":
            return f"{rule}, frame sums rectified"
        case "CLRP", "none":
            return "CLRP, not rectified"
        case "LRP", "element":
            return "LRP, rectified"
        case _:
            return rule


def _read(explanation: explanation_pb2.Explanation, report: answer_pb2.FrameReport) -> str:
    if _stands_still(explanation):
        return "nothing in it changes in time beyond the threshold; motion share 0 %"
    if explanation.WhichOneof("value") == "frame_attribution":
        return read_frames(explanation, frame_scores(explanation), report.used)
    if explanation.saliency.undefined:
        return explanation.saliency.undefined
    parts = [*_temporal_length(explanation, len(report.used)), _when(explanation, report.used)]
    if areas := read_areas(explanation):
        parts.insert(0, areas)
    if explanation.quality.HasField("motion_share"):
        parts.append(f"motion share {_percent(explanation.quality.motion_share)}")
    return "; ".join(parts)


def _stands_still(explanation: explanation_pb2.Explanation) -> bool:
    """Whether a selective method kept nothing of a map that does hold positive relevance."""
    saliency = explanation.saliency
    if not saliency.HasField("mask") or any(saliency.mask.data):
        return False
    return bool((to_array(saliency.values) > 0).any())


def _when(explanation: explanation_pb2.Explanation, used: Sequence[int]) -> str:
    profile = _profile(explanation, len(used))
    if profile is None:
        return "no positive evidence"
    if len(profile.shares) == 1:
        return "one time step for the whole clip, so nothing about when"
    if _is_even(profile.shares):
        return "spread evenly over all frames"
    window = _window(profile)
    if window is None:
        step = int(profile.shares.argmax())
        where = _frames(used, int(profile.first[step]), int(profile.last[step]))
        return f"in several places, no single stretch; strongest at {where} ({_percent(profile.shares[step])})"
    where = _frames(used, window.first, window.last)
    verb = "carries" if window.first == window.last else "carry"
    return f"{where} {verb} {_percent(window.share)} of the relevance"


def _temporal_length(explanation: explanation_pb2.Explanation, frames: int) -> list[str]:
    if explanation.WhichOneof("value") != "relevance_matrix":
        return []
    matrix = explanation.relevance_matrix
    if not matrix.HasField("average_length"):
        return [f"no ATR: {matrix.undefined or 'the class has no positive score at any time'}"]
    columns = matrix.values.shape[1] if len(matrix.values.shape) == 2 else frames
    of = f"{frames} frames" if columns == frames else f"{columns} blocks of {frames // columns} frames"
    return [f"avg-ATR {matrix.average_length:.1f} of {of}"]


def _profile(explanation: explanation_pb2.Explanation, frames: int) -> Profile | None:
    values, positions = _evidence(explanation, frames)
    total = float(values.sum())
    if not values.size or total <= 0:
        return None
    # Each step stands for the model frames that are nearer to it than to its neighbours.
    borders = np.ceil((positions[1:] + positions[:-1]) / 2).astype(np.int64)
    first = np.clip(np.concatenate(([0], borders)), 0, frames - 1)
    last = np.clip(np.concatenate((borders - 1, [frames - 1])), first, frames - 1)
    return Profile(values / total, first, last)


def _evidence(explanation: explanation_pb2.Explanation, frames: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positive relevance of each time step and the model frame at its centre, in order of time."""
    kind = explanation.WhichOneof("value")
    stated: Sequence[float] = ()
    if kind == "saliency":
        volume = _dimensions(to_array(explanation.saliency.values), 3, "saliency.values")
        if explanation.saliency.HasField("mask"):
            volume = volume * (to_array(explanation.saliency.mask).reshape(volume.shape) > 0)
        values = _positive(volume).sum((1, 2))
        stated = explanation.saliency.frame_positions
    elif kind == "relevance_matrix":
        matrix = _dimensions(to_array(explanation.relevance_matrix.values), 2, "relevance_matrix.values")
        logits = np.asarray(explanation.relevance_matrix.row_logits)
        values = _positive(matrix[logits > 0] if len(logits) == len(matrix) else matrix).sum(0)
    elif kind == "frame_attribution":
        values = _positive(frame_scores(explanation))
    else:
        return np.zeros(0), np.zeros(0)
    steps = len(values)
    positions = np.asarray(stated, np.float64)
    if len(positions) != steps or not np.isfinite(positions).all():
        positions = (np.arange(steps) + 0.5) * frames / max(steps, 1) - 0.5
    order = np.argsort(positions, kind="stable")
    return values[order], positions[order]


def _dimensions(array: NDArray[np.float32], expected: int, field: str) -> NDArray[np.float32]:
    if array.ndim != expected:
        raise ValueError(f"{field}: has {array.ndim} dimensions, expected {expected}")
    return array


def _positive(array: NDArray[Any]) -> NDArray[np.float64]:
    return np.where(np.isfinite(array) & (array > 0), array, 0).astype(np.float64)


def _is_even(shares: NDArray[np.float64]) -> bool:
    return float(np.abs(shares - 1 / len(shares)).sum()) / 2 < _EVEN


def _window(profile: Profile) -> TimeWindow | None:
    shares = profile.shares
    if len(shares) < 2 or _is_even(shares):
        return None
    sums = np.concatenate(([0.0], np.cumsum(shares)))
    for length in range(1, math.ceil(_LONG * len(shares))):
        carried = sums[length:] - sums[:-length]
        begin = int(carried.argmax())
        if carried[begin] >= _ENOUGH - 1e-9:
            return TimeWindow(
                int(profile.first[begin]), int(profile.last[begin + length - 1]), min(float(carried[begin]), 1.0)
            )
    return None


def _frames(used: Sequence[int], first: int, last: int) -> str:
    low, high = min(used[first : last + 1]), max(used[first : last + 1])
    return f"frame {low}" if low == high else f"frames {low}-{high}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
