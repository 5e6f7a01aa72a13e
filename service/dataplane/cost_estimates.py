"""Estimates what predicting and explaining take here, from what workers measured lately."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from actionlens.v1 import method_pb2
from actionlens.worker.v1 import worker_pb2
from service.telemetry.records import explain_seconds

_SAMPLES = 7
# What is not measured again is believed less and less: it was expensive once, and only trying again can tell.
_HALF_LIFE_SECONDS = 600.0
# Nobody is refused for long because of what was measured on a busier machine.
_REFUSAL_HALF_LIFE_SECONDS = 60.0
# Parameters are part of the key, and clients choose them.
_MOST_KEYS = 1024


@dataclass(slots=True)
class _Samples:
    values: deque[float] = field(default_factory=lambda: deque(maxlen=_SAMPLES))
    at: float = 0.0


class CostEstimates:
    """Estimates from the last measurements, by model and by set of methods with their parameters.

    By set, because methods share work: relevance below ATR's rows costs less than relevance alone. As multiples of
    predicting, so that a set that is seldom computed follows a machine that has become busier or idler.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._measured: dict[tuple[str | bytes, ...], _Samples] = {}

    def add(
        self, model: str, methods: Sequence[method_pb2.Method], response: worker_pb2.ComputeResponse, gap: bool = False
    ) -> None:
        """Note what a worker measured for one clip. Where a method failed, nothing is learned of its set.

        gap: whether the insertion-deletion gap of each was asked for, which is part of the cost.
        """
        times = response.timings
        self._note((model,), times.forward / max(1, times.batch_size))
        predict = self.predict(model)
        failed = any(explanation.HasField("failure") for explanation in response.explanations)
        if methods and predict and not failed:
            self._note(_key(model, methods, gap), explain_seconds(times) / predict)
            for method, seconds in zip(methods, times.explain, strict=False):
                self._note(_single_key(model, method), seconds / predict)

    def predict(self, model: str) -> float | None:
        """Seconds of one clip's share of a forward; None before the first."""
        samples = self._measured.get((model,))
        return None if samples is None else median(samples.values)

    def explain(self, model: str, methods: Sequence[method_pb2.Method], gap: bool = False) -> float | None:
        """Seconds of these methods together; None while they have never been computed together.

        gap: with the insertion-deletion gap of each.

        The lower quartile: on a busy machine a cheap method is now and then interrupted for longer than it takes, and
        who believes that it is expensive leaves it out and never learns better. An estimate that is too low is
        corrected by lag.
        """
        if not methods:
            return 0.0
        samples, predict = self._measured.get(_key(model, methods, gap)), self.predict(model)
        if samples is None or predict is None:
            return None
        age = self._clock() - samples.at
        return predict * sorted(samples.values)[len(samples.values) // 4] * float(0.5 ** (age / _HALF_LIFE_SECONDS))

    def least(self, model: str, methods: Sequence[method_pb2.Method], gap: bool = False) -> float:
        """Seconds that these methods take at the very least, as far as is known, whatever is.

        As they were together, or where they never were, each as it was in any company and with any parameters. Always
        too low rather than too high: a refusal must be right.
        """
        predict = self.predict(model)
        if predict is None:
            return 0.0
        known = self._least(_key(model, methods, gap))
        return predict * (known or sum(self._least(_single_key(model, method)) for method in methods))

    def _least(self, key: tuple[str | bytes, ...]) -> float:
        samples = self._measured.get(key)
        if samples is None:
            return 0.0
        return min(samples.values) * float(0.5 ** ((self._clock() - samples.at) / _REFUSAL_HALF_LIFE_SECONDS))

    def _note(self, key: tuple[str | bytes, ...], value: float) -> None:
        # What was measured longest ago stands first, and is forgotten first.
        samples = self._measured[key] = self._measured.pop(key, _Samples())
        if len(self._measured) > _MOST_KEYS:
            del self._measured[next(iter(self._measured))]
        samples.values.append(value)
        samples.at = self._clock()


def _key(model: str, methods: Sequence[method_pb2.Method], gap: bool) -> tuple[str | bytes, ...]:
    return model, *(method.SerializeToString(deterministic=True) for method in methods), *(("gap",) if gap else ())


def _single_key(model: str, method: method_pb2.Method) -> tuple[str | bytes, ...]:
    return model, "each", method.WhichOneof("method") or ""
