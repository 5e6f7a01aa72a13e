"""Plays the frames of answered windows in their own time, each with its own heat."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import answer_pb2
from service.client.results import ExplanationResult, WindowResult
from service.rendering.film_times import film_times
from service.rendering.heatmap import Heatmap, prepare_heatmap
from service.rendering.overlay import blend_heatmap
from service.webcam.frame_store import FrameStore
from service.webcam.state import ViewState

# Seconds after which an explanation begins to fade, and is gone.
_FRESH, _GONE = 1.5, 4.0


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """image: uint8 [h, w, 3] RGB. frame: the model frame that it is; None when it is not explained. age: seconds
    since the explanation came; None without one. peak: the value drawn at full strength; 0 without heat."""

    image: NDArray[np.uint8]
    frame: int | None = None
    age: float | None = None
    peak: float = 0.0
    signed: bool = False


class Playback:
    """Goes through the frames of the answered windows as they come: where windows overlap, without a jump."""

    def __init__(self, store: FrameStore, state: ViewState) -> None:
        self._store = store
        self._state = state
        self._scales: dict[tuple[str, str], float] = {}
        self._shown = -1
        self._at = 0.0
        self._waits = False
        self._prepared: Heatmap | None = None
        self._prepared_for: tuple[ExplanationResult, tuple[int, ...]] | None = None

    def rescale(self) -> None:
        """Begin the colour scales anew at the next window."""
        self._scales.clear()

    def show(self, side: int) -> ShownFrame | None:
        """The frame to show now, the longer side at most `side` pixels; None before the first frame."""
        last, now = self._state.last, time.monotonic()
        age = None if last is None else now - last[1]
        if last is not None and age is not None and age < _GONE:
            frame = self._frame(last[0].frames, now)
            image = self._store.image(last[0].frames.used[frame])
            if image is not None:
                return self._explained(_small(image, side), last[0], frame, age)
        newest = self._store.newest()
        return None if newest is None else ShownFrame(_small(newest, side), age=age)

    def _frame(self, report: answer_pb2.FrameReport, now: float) -> int:
        """The index in the window of the frame that is due now: the first one not shown yet, or further on."""
        used, times = list(report.used), film_times(report)
        pending = next((index for index, sequence in enumerate(used) if sequence > self._shown), None)
        if pending is None:
            self._waits = True
            return len(used) - 1
        if pending == 0:
            index, self._at = 0, now
        else:
            shown = used.index(self._shown) if self._shown in used else pending - 1
            lasts = times[pending] - times[shown]
            if self._waits:
                # That the window came late is no reason to leave its frames out.
                self._at = max(self._at, now - lasts)
            # Time that has passed counts, whatever its sum of floats says.
            passed = now - self._at + 1e-6
            if passed < lasts and self._shown in used:
                return shown
            passed = max(passed, lasts)
            index = max(later for later in range(pending, len(used)) if times[later] - times[shown] <= passed)
            # Time left over counts for the next frame.
            self._at = max(self._at + times[index] - times[shown], now - (times[index + 1] - times[index]))
        self._waits = False
        self._shown = used[index]
        return index

    def _explained(self, image: NDArray[np.uint8], result: WindowResult, frame: int, age: float) -> ShownFrame:
        prepared = self._heatmap(image.shape[:2], result)
        if prepared is None:
            return ShownFrame(image, frame, age)
        key = result.message.model, self._state.method
        peak = self._scales[key] = max(self._scales.get(key, 0.0), prepared.peak)
        drawn = blend_heatmap(image[None], [frame], replace(prepared, peak=peak))[0]
        fade = min(1.0, (_GONE - age) / (_GONE - _FRESH))
        mixed = np.asarray(cv2.addWeighted(drawn, fade, image, 1 - fade, 0), np.uint8)
        return ShownFrame(mixed, frame, age, peak, prepared.signed)

    def _heatmap(self, size: tuple[int, ...], result: WindowResult) -> Heatmap | None:
        explanation = result.explanations.get(self._state.method)
        if explanation is None or explanation.failed:
            return None
        # One window is drawn many times.
        if self._prepared_for is None or self._prepared_for[0] is not explanation or self._prepared_for[1] != size:
            self._prepared = prepare_heatmap(
                explanation.message, len(result.frames.used), size[0], size[1], result.frames.placement
            )
            self._prepared_for = explanation, size
        return self._prepared


def _small(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    ratio = side / max(height, width)
    if ratio >= 1:
        return image
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
