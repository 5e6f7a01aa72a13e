"""Partial uniform sampling: do a few frames around a time step suffice for its prediction (ATR paper, appendix A)?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from actionlens.row_lengths import nearest_frames, row_window
from handlers.evaluation.common.changed_clips import passes, reordered
from handlers.evaluation.measure import Better, ClipMeasure, LeftOut, MapMeasure, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, Curve, RelevanceMatrix
from handlers.models.action_model import ActionModel

WindowLogits = Callable[[Sequence[range]], Tensor]
"""Logits per time step of a clip that shows only a window of its frames: float [n, T', K] for n windows."""

Outside = Literal["hold", "empty"]

_GREY = 128


def held(clip: NDArray[np.uint8], window: range, outside: Outside = "hold") -> NDArray[np.uint8]:
    """A clip that shows only a window of its frames.

    clip: uint8 [T, H, W, 3]; same shape back. "hold": frames before the window show its first frame, those after it its
    last one (Fig. 11). "empty": they are grey, 128.
    """
    frames = np.arange(len(clip))
    if outside == "hold":
        return reordered(clip, frames.clip(window.start, window.stop - 1).tolist())
    shown = clip.copy()
    shown[(frames < window.start) | (frames >= window.stop)] = _GREY
    return shown


def fixed_windows(anchors: Sequence[int], frames: int, size: int) -> list[range]:
    """A window of `size` of the clip's frames for each anchor: centred on it, of two centred ones the earlier, and
    shifted inside the clip at its ends."""
    size = min(size, frames)
    starts = (min(max(anchor - size // 2, 0), frames - size) for anchor in anchors)
    return [range(start, start + size) for start in starts]


def row_windows(matrix: Tensor, anchors: Sequence[float], share: float = 0.975) -> list[range]:
    """The frames that each row of a relevance matrix [T', N] needs: its own ATR window (3.2).

    anchors: [T'] the frame at the centre of each row. A row that sums to 0 needs all frames.
    """
    rows = matrix.double().tolist()
    found = [
        row_window(row, anchor, share)
        for row, anchor in zip(rows, nearest_frames(anchors, matrix.shape[1]), strict=True)
    ]
    return [window or range(matrix.shape[1]) for window in found]


def partial_logits(of_windows: WindowLogits, windows: Sequence[range]) -> Tensor:
    """Logits by partial uniform sampling, float [K]: row i of what the clip shows in window i, averaged over the rows.

    windows: [T'] one per time step; equal ones are run once.
    """
    distinct = sorted(set(windows), key=lambda window: (window.start, window.stop))
    found = of_windows(distinct)
    if found.shape[1] != len(windows):
        raise ValueError(f"{len(windows)} windows for {found.shape[1]} time steps")
    places = [distinct.index(window) for window in windows]
    return found[places, list(range(len(windows)))].mean(0)


class PartialSamplingParameters(MeasureParameters):
    """What the two measures share."""

    outside: Annotated[
        Outside, Field(description="what frames outside the window show: its nearest frame, or grey")
    ] = "hold"


class FixedWindowParameters(PartialSamplingParameters):
    """Parameters of windows of one size for all time steps."""

    sizes: Annotated[
        tuple[Annotated[int, Field(ge=1, le=1000)], ...],
        Field(max_length=32, description="frames of the windows; 1 to all when left out"),
    ] = ()


class RowWindowParameters(PartialSamplingParameters):
    """Parameters of windows as the rows of a matrix need them."""

    share: Annotated[float, Field(gt=0, le=1, description="share of a row that its window must hold")] = 0.975


class PartialSampling(ClipMeasure[FixedWindowParameters]):
    """Whether the model is right when every time step sees so many frames only."""

    name = "partial-sampling"
    summary = "how many frames around a time step suffice for the class; accuracy by the size of that window"
    source = "action temporal relevance (ATR), appendix A, Fig. 12"
    parameters = FixedWindowParameters

    def unsupported(self, model: ActionModel) -> str | None:
        return model.program.no_frame_logits or None

    def forwards(self, model: ActionModel, frames: int, parameters: FixedWindowParameters) -> int:
        """Of a network with a time step per frame; fewer where it has fewer."""
        return sum(len(set(fixed_windows(range(frames), frames, size))) for size in _sizes(parameters, frames)) + 1

    def measure(self, subject: Subject, parameters: FixedWindowParameters) -> Measured:
        """sufficient-window: the size from which on the top-1 class is the target's for all larger sizes as well."""
        frames = subject.shape[0]
        of_windows = _windows_of(subject, parameters.outside)
        rows = of_windows([range(frames)]).shape[1]
        anchors = nearest_frames([(row + 0.5) * frames / rows - 0.5 for row in range(rows)], frames)
        sizes = _sizes(parameters, frames)
        logits = [partial_logits(of_windows, fixed_windows(anchors, frames, size)) for size in sizes]
        right = [_right(subject, own) for own in logits]
        scores = [_score(subject, own) for own in logits]

        values, left_out = {}, {}
        last_wrong = max((index for index, own in enumerate(right) if not own), default=-1)
        if last_wrong + 1 < len(sizes):
            values["sufficient-window"] = Value(float(sizes[last_wrong + 1]), unit="frames")
        else:
            left_out["sufficient-window"] = f"windows of {sizes[-1]} frames do not suffice"
        values |= {
            f"accuracy-{size}": Value(100.0 * own, Better.HIGHER, "%") for size, own in zip(sizes, right, strict=True)
        }
        x = tuple(map(float, sizes))
        curves = (
            Curve("accuracy by partial uniform sampling", "frames", x, tuple(100.0 * own for own in right), "%"),
            Curve("score by partial uniform sampling", "frames", x, tuple(scores), "probability"),
        )
        return Measured(values, left_out, curves)


class PartialSamplingOfRows(MapMeasure[RowWindowParameters]):
    """Whether the model is right when every time step sees the frames that its own row of the matrix needs: the point
    of an ATR, which lies on the curve of `partial-sampling` where ATR is right."""

    name = "partial-sampling-of-rows"
    summary = "accuracy when every time step sees only its own ATR window, and the mean size of these windows"
    source = PartialSampling.source
    parameters = RowWindowParameters
    random_draws = 0

    def unsupported(self, model: ActionModel) -> str | None:
        return model.program.no_frame_logits or None

    def forwards(self, model: ActionModel, frames: int, parameters: RowWindowParameters) -> int:
        """At most; rows whose windows are equal share a forward."""
        return frames

    def measure(self, subject: Subject, attribution: Attribution, parameters: RowWindowParameters) -> Measured:
        if not isinstance(attribution, RelevanceMatrix):
            raise LeftOut("the explanation is no matrix of temporal relevance")
        if attribution.average_length is None:
            raise LeftOut(attribution.undefined or "the matrix has no lengths")
        if attribution.values.shape[1] != subject.shape[0]:
            raise LeftOut("the matrix has blocks of frames, which are no windows of single time steps")
        windows = row_windows(attribution.values, attribution.frame_positions, parameters.share)
        logits = partial_logits(_windows_of(subject, parameters.outside), windows)
        values = {
            "accuracy": Value(100.0 * _right(subject, logits), Better.HIGHER, "%"),
            "score": Value(_score(subject, logits), Better.HIGHER, "probability"),
            "mean-window": Value(float(np.mean([len(window) for window in windows])), unit="frames"),
        }
        return Measured(values)


def _sizes(parameters: FixedWindowParameters, frames: int) -> list[int]:
    return sorted({min(size, frames) for size in parameters.sizes or range(1, frames + 1)})


def _windows_of(subject: Subject, outside: Outside) -> WindowLogits:
    def of_windows(windows: Sequence[range]) -> Tensor:
        clips: Iterator[NDArray[np.uint8]] = (held(subject.clip, window, outside) for window in windows)
        found = []
        for forward in passes(subject.model, clips):
            for item in range(len(forward)):
                if reason := forward.no_frame_logits_of(item):
                    raise LeftOut(f"the clip has no logits per time step: {reason}")
            found.append(forward.frame_logits)
        return torch.cat(found)

    return of_windows


def _right(subject: Subject, logits: Tensor) -> bool:
    return int(logits.argmax()) == subject.target.index


def _score(subject: Subject, logits: Tensor) -> float:
    return float(subject.model.probabilities(logits)[subject.target.index])


MEASURES = (PartialSampling(), PartialSamplingOfRows())
