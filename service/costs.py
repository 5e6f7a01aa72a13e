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
# What is not measured again is believed less and less: it was dear once, perhaps on a busier machine, and only trying
# again can tell.
_HALF_LIFE_SECONDS = 120.0
# Parameters are part of the key, and clients choose them.
_MOST_KEYS = 1024


@dataclass(slots=True)
class _Samples:
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_SAMPLES))
    at: float = 0.0


class Costs:
    """Medians of the last measurements, in seconds, by model and by method with its parameters."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._measured: dict[tuple[str, bytes], _Samples] = {}

    def add(self, model: str, methods: Sequence[method_pb2.Method], response: worker_pb2.ComputeResponse) -> None:
        """Note what a worker measured for one clip. Methods that failed say nothing about their cost."""
        times = response.timings
        self._note((model, b""), times.forward / max(1, times.batch_size))
        for method, explanation, seconds in zip(methods, response.explanations, times.explain, strict=False):
            if not explanation.HasField("failure"):
                self._note(_key(model, method), seconds)

    def predict(self, model: str) -> float | None:
        """One clip's share of a forward; None before the first."""
        return self._median((model, b""))

    def explain(self, model: str, methods: Sequence[method_pb2.Method]) -> float | None:
        """All these methods together; None while one of them has never been computed."""
        known = [self._median(_key(model, method)) for method in methods]
        return None if None in known else sum(seconds for seconds in known if seconds is not None)

    def _note(self, key: tuple[str, bytes], seconds: float) -> None:
        samples = self._measured.get(key)
        if samples is None:
            if len(self._measured) >= _MOST_KEYS:
                del self._measured[next(iter(self._measured))]
            samples = self._measured[key] = _Samples()
        samples.seconds.append(seconds)
        samples.at = self._clock()

    def _median(self, key: tuple[str, bytes]) -> float | None:
        samples = self._measured.get(key)
        if samples is None:
            return None
        return float(median(samples.seconds) * 0.5 ** ((self._clock() - samples.at) / _HALF_LIFE_SECONDS))


def _key(model: str, method: method_pb2.Method) -> tuple[str, bytes]:
    return model, method.SerializeToString(deterministic=True)
