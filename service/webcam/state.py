"""What a live view knows: the question as it stands, the last answer, and what led to it."""

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
from service.webcam.frame_rate import Rate

HISTORY = 60
"""Windows of which the classes' probabilities are kept."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One class now and before. history: probabilities of the last windows, oldest first."""

    label: str
    probability: float
    history: tuple[float, ...]


class Watch:
    """Changed by the stream's thread and by keys, read by the screen's thread. question: what is asked at first."""

    def __init__(self, question: StreamOptions) -> None:
        self.state = "connecting"
        self.trouble = ""
        self.rate = Rate()
        self.model: model_pb2.Model | None = None
        self.target: ClassLike = question.get("target")
        self._question = question
        self._names = [_name(method) for method in question.get("methods", ())]
        self._layer = self._names[0] if self._names else ""
        self._history: deque[dict[str, float]] = deque(maxlen=HISTORY)
        self._last: tuple[WindowResult, float] | None = None
        self._lock = threading.Lock()

    @property
    def options(self) -> StreamOptions:
        """The question as a stream asks it."""
        # What was asked for from the start, and what is looked at.
        more = [self._layer] if self._layer and self._layer not in self._names else []
        return {
            **self._question,
            "methods": [*self._question.get("methods", ()), *more],
            "target": self.target,
            "encoding": "float16",
            "fill": "drop-oldest",
            "consume": "newest",
        }

    @property
    def layer(self) -> str:
        """The method that is looked at; empty for none."""
        return self._layer

    def look_at_the_next(self) -> None:
        """Go on to the next live method that explains this model."""
        names = list(self._names)
        if self.model is not None:
            live = (entry.method for entry in self.model.methods if entry.supported and not entry.job)
            names += [name for name in live if name not in names]
        if names:
            place = names.index(self._layer) + 1 if self._layer in names else 0
            self._layer = names[place % len(names)]

    def take(self, window: WindowResult) -> None:
        """A window was answered."""
        self.rate.count()
        with self._lock:
            self._history.append({score.label: score.probability for score in window.prediction.top})
            self._last = window, time.monotonic()
        self.state, self.trouble = "live", ""

    def lose(self, why: str) -> None:
        """The stream broke; it is being opened again."""
        self.state, self.trouble = "reconnecting", why

    @property
    def last(self) -> tuple[WindowResult, float] | None:
        """The last answer and when it came (time.monotonic)."""
        with self._lock:
            return self._last

    @property
    def standings(self) -> list[Standing]:
        """The top classes, best first."""
        with self._lock:
            if self._last is None:
                return []
            past = tuple(self._history)
            top = self._last[0].prediction.top
        return [
            Standing(score.label, score.probability, tuple(entry.get(score.label, 0.0) for entry in past))
            for score in top
        ]

    @property
    def entry(self) -> ExplanationResult | None:
        """The explanation that is looked at, of the last answer; None when it has none."""
        last = self.last
        return None if last is None else last[0].explanations.get(self._layer)

    @property
    def curve(self) -> NDArray[np.float64]:
        """Positive relevance per model frame of the method that is looked at: float64 [T], empty when unknown."""
        last, entry = self.last, self.entry
        if last is None or entry is None or entry.failed:
            return np.zeros(0)
        return frame_profile(entry.message, len(last[0].frames.used))

    @property
    def motion_share(self) -> float | None:
        """How much of the relevance is motion, 0 .. 1, of the first method that tells."""
        last = self.last
        told = last[0].explanations.values() if last else ()
        return next((entry.quality["motion_share"] for entry in told if "motion_share" in entry.quality), None)

    @property
    def sentence(self) -> str:
        """What the model says and where its evidence lies, in one sentence. Frames are counted within the window."""
        last = self.last
        if last is None:
            return ""
        result = last[0]
        best = result.prediction.top[0]
        said = f"“{best.label}” {100 * best.probability:.0f} %"
        entry = result.explanations.get(self._layer)
        if entry is None:
            return f"{said}."
        frames = len(result.frames.used)
        parts = [said]
        target, contrast = entry.message.target, entry.message.contrast
        if entry.message.HasField("contrast"):
            parts.append(f"why “{target.label}” and not “{contrast.label}”")
        elif entry.message.HasField("target") and target.index != best.index:
            parts.append(f"“{target.label}” is explained")
        parts.append(read_explanation(entry.message, answer_pb2.FrameReport(used=range(frames))))
        return f"{': '.join(parts)}."

    @property
    def overhead(self) -> tuple[float, float] | None:
        """Seconds that explaining and predicting took for the last window."""
        last = self.last
        if last is None:
            return None
        timings = last[0].timings
        return sum(timings.explain), timings.forward / max(1, timings.batch_size)


def _name(method: MethodLike) -> str:
    """Of a method as the command line has it, "selective-relevance:threshold=3"."""
    return str(method).partition(":")[0]
