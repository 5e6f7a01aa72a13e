"""Signs that a TorchServe has stopped serving while it still runs."""

from __future__ import annotations

import itertools

_REFUSALS = 3
# How long a model may be without a ready worker: TorchServe itself replaces a dead one, which takes as long as loading
# the model does; to restart everything would take the other models away and be no sooner.
_LOST_SECONDS = 20.0
_LOST_STARTS = 2.0


class Watch:
    """Knows the calls that are out at one TorchServe. Times are of one monotonic clock, in seconds.

    response_seconds: longest time of one batch; TorchServe itself replaces a worker that takes longer. margin: how
    much later the worker must have answered or died. started_in: how long this TorchServe took to be ready.
    """

    def __init__(self, response_seconds: float, margin: float, started_in: float) -> None:
        self._silence = response_seconds + margin
        self._lost_seconds = max(_LOST_SECONDS, _LOST_STARTS * started_in)
        self._out: dict[int, tuple[str, float]] = {}
        self._heard: dict[str, float] = {}
        self._refused: dict[str, int] = {}
        self._lost: dict[str, float] = {}
        self._numbers = itertools.count()

    def sent(self, model: str, now: float) -> int:
        """A call went out; returns its number."""
        number = next(self._numbers)
        self._out[number] = (model, now)
        return number

    def returned(self, number: int, now: float, *, heard: bool) -> None:
        """A call came back. heard: with an answer of any kind, not because the caller or the connection gave up."""
        model, _ = self._out.pop(number)
        if heard:
            self._heard[model] = now

    def refused(self, model: str) -> None:
        """TorchServe says that the model has no worker or no room, though fewer calls are out than it takes."""
        self._refused[model] = self._refused.get(model, 0) + 1

    def served(self, model: str) -> None:
        """A worker answered."""
        self._refused.pop(model, None)

    def workers(self, model: str, ready: int, now: float) -> None:
        """The number of the model's ready workers."""
        if ready:
            self._lost.pop(model, None)
        else:
            self._lost.setdefault(model, now)

    def trouble(self, now: float) -> str:
        """Why this TorchServe must be replaced; empty while there is no reason."""
        for model, since in self._lost.items():
            if now - since > self._lost_seconds:
                return f"model {model!r} has had no ready worker for {now - since:.1f} s"
        for model, count in self._refused.items():
            if count >= _REFUSALS:
                return f"model {model!r} refused {count} clips in a row for want of a worker"
        for model, since in self._out.values():
            quiet = now - max(since, self._heard.get(model, since))
            if quiet > self._silence:
                return f"model {model!r} has not answered for {quiet:.1f} s"
        return ""
