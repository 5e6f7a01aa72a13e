"""What predicting and explaining take here, as workers measured it lately."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from actionlens.v1 import method_pb2
from actionlens.worker.v1 import worker_pb2

_SAMPLES = 15
# What is not measured again is believed less and less: it was dear once, and only trying again can tell.
_HALF_LIFE_SECONDS = 600.0
# Parameters are part of the key, and clients choose them.
_MOST_KEYS = 1024


@dataclass(slots=True)
class _Samples:
    values: deque[float] = field(default_factory=lambda: deque(maxlen=_SAMPLES))
    at: float = 0.0


class Costs:
    """Medians of the last measurements, by model and by method with its parameters.

    Methods are kept as multiples of predicting, so that one that is seldom computed follows a machine that has become
    busier or idler.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._measured: dict[tuple[str, bytes], _Samples] = {}

    def add(self, model: str, methods: Sequence[method_pb2.Method], response: worker_pb2.ComputeResponse) -> None:
        """Note what a worker measured for one clip. Methods that failed say nothing about their cost."""
        times = response.timings
        self._note((model, b""), times.forward / max(1, times.batch_size))
        predict = self.predict(model)
        for method, explanation, seconds in zip(methods, response.explanations, times.explain, strict=False):
            if predict and not explanation.HasField("failure"):
                self._note(_key(model, method), seconds / predict)

    def predict(self, model: str) -> float | None:
        """Seconds of one clip's share of a forward; None before the first."""
        samples = self._measured.get((model, b""))
        return None if samples is None else median(samples.values)

    def explain(self, model: str, methods: Sequence[method_pb2.Method]) -> float | None:
        """Seconds of all these methods together; None while one of them has never been computed."""
        predict, now, multiple = self.predict(model), self._clock(), 0.0
        for method in methods:
            samples = self._measured.get(_key(model, method))
            if samples is None or predict is None:
                return None
            multiple += median(samples.values) * 0.5 ** ((now - samples.at) / _HALF_LIFE_SECONDS)
        return multiple * (predict or 0.0)

    def _note(self, key: tuple[str, bytes], value: float) -> None:
        samples = self._measured.get(key)
        if samples is None:
            if len(self._measured) >= _MOST_KEYS:
                del self._measured[next(iter(self._measured))]
            samples = self._measured[key] = _Samples()
        samples.values.append(value)
        samples.at = self._clock()


def _key(model: str, method: method_pb2.Method) -> tuple[str, bytes]:
    return model, method.SerializeToString(deterministic=True)
