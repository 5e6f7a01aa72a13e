"""Holds the state of a live view: the question as it stands, the last answer, and what led to it."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import answer_pb2, model_pb2
from service.client.clip_messages import ClassLike
from service.client.method_messages import MethodLike
from service.client.results import ExplanationResult, WindowResult
from service.client.stream_messages import StreamOptions
from service.readings.explanation import frame_profile, read_explanation
from service.telemetry.records import explain_seconds
from service.webcam.frame_rate import FrameRate

HISTORY = 60
"""Windows of which the classes' probabilities are kept."""


@dataclass(frozen=True, slots=True)
class ClassHistory:
    """The probability of a class, 0 .. 1, now and before. history: those of the last windows, oldest first."""

    label: str
    probability: float
    history: tuple[float, ...]


class ViewState:
    """Changed by the stream's thread and by keys, read by the thread that draws. question: as asked at first."""

    def __init__(self, question: StreamOptions) -> None:
        self.connection = "connecting"
        self.problem = ""
        self.rate = FrameRate()
        self.model: model_pb2.Model | None = None
        self.target: ClassLike = question.get("target")
        self._question = question
        self._names = [_name(method) for method in question.get("methods", ())]
        self._method = self._names[0] if self._names else ""
        self._history: deque[dict[str, float]] = deque(maxlen=HISTORY)
        self._last: tuple[WindowResult, float] | None = None
        self._lock = threading.Lock()

    @property
    def options(self) -> StreamOptions:
        """Options of a stream that asks the question."""
        # The methods from the start, and the one that is looked at.
        more = [self._method] if self._method and self._method not in self._names else []
        return {
            **self._question,
            "methods": [*self._question.get("methods", ()), *more],
            "target": self.target,
            "encoding": "float16",
            "fill": "drop-oldest",
            "consume": "newest",
        }

    @property
    def method(self) -> str:
        """The method that is looked at; empty for none."""
        return self._method

    def select_next_method(self) -> None:
        """Go on to the next live method that explains this model."""
        names = list(self._names)
        if self.model is not None:
            live = (offered.method for offered in self.model.methods if offered.supported and not offered.job)
            names += [name for name in live if name not in names]
        if names:
            index = names.index(self._method) + 1 if self._method in names else 0
            self._method = names[index % len(names)]

    def add(self, window: WindowResult) -> None:
        """Take the answer to a window."""
        self.rate.count()
        with self._lock:
            self._history.append({score.label: score.probability for score in window.prediction.top})
            self._last = window, time.monotonic()
        self.connection, self.problem = "live", ""

    def disconnected(self, why: str) -> None:
        """Note that the stream broke; it is being opened again. why: for people."""
        self.connection, self.problem = "reconnecting", why

    @property
    def last(self) -> tuple[WindowResult, float] | None:
        """The last answer and when it came (time.monotonic)."""
        with self._lock:
            return self._last

    @property
    def classes(self) -> list[ClassHistory]:
        """The top classes, best first."""
        with self._lock:
            if self._last is None:
                return []
            past = tuple(self._history)
            top = self._last[0].prediction.top
        return [
            ClassHistory(score.label, score.probability, tuple(shares.get(score.label, 0.0) for shares in past))
            for score in top
        ]

    @property
    def explanation(self) -> ExplanationResult | None:
        """The explanation that is looked at, of the last answer; None when it has none."""
        last = self.last
        return None if last is None else last[0].explanations.get(self._method)

    @property
    def curve(self) -> NDArray[np.float64]:
        """Positive relevance per model frame of the method that is looked at: float64 [T], empty when unknown."""
        last, explanation = self.last, self.explanation
        if last is None or explanation is None or explanation.failed:
            return np.zeros(0)
        return frame_profile(explanation.message, len(last[0].frames.used))

    @property
    def motion_share(self) -> float | None:
        """The share of motion in the relevance, 0 .. 1, of the first method that reports it."""
        last = self.last
        qualities = [explanation.quality for explanation in last[0].explanations.values()] if last else []
        return next((quality["motion_share"] for quality in qualities if "motion_share" in quality), None)

    @property
    def summary(self) -> str:
        """One sentence: the model's answer and where its evidence lies. Frames are counted within the window."""
        last = self.last
        if last is None:
            return ""
        result = last[0]
        best = result.prediction.top[0]
        said = f"“{best.label}” {100 * best.probability:.0f} %"
        explanation = result.explanations.get(self._method)
        if explanation is None:
            return f"{said}."
        frames = len(result.frames.used)
        parts = [said]
        target, contrast = explanation.message.target, explanation.message.contrast
        if explanation.message.HasField("contrast"):
            parts.append(f"why “{target.label}” and not “{contrast.label}”")
        elif explanation.message.HasField("target") and target.index != best.index:
            parts.append(f"“{target.label}” is explained")
        parts.append(read_explanation(explanation.message, answer_pb2.FrameReport(used=range(frames))))
        return f"{': '.join(parts)}."

    @property
    def overhead(self) -> tuple[float, float] | None:
        """Seconds that explaining and predicting took for the last window."""
        last = self.last
        if last is None:
            return None
        timings = last[0].timings
        return explain_seconds(timings), timings.forward / max(1, timings.batch_size)


def _name(method: MethodLike) -> str:
    """The name of a method as the command line has it, "selective-relevance:threshold=3"."""
    return str(method).partition(":")[0]
