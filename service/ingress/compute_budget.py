"""Bounds the computing of each principal over time: a token bucket of seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from service.errors import QuotaExceeded
from service.ingress.caller import HERE, current

_MOST_PRINCIPALS = 10_000


class ComputeBudget:
    """Seconds of computing that the current caller's principal has left.

    A bucket holds what one minute brings and starts full. What an answer takes is known when it is there, so one may
    overdraw the bucket, and the next has to wait until it is above zero again.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        """per_minute: seconds of computing; 0: no bound."""
        self._per_minute = per_minute
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def check(self) -> None:
        """Raise QuotaExceeded, with the time to wait, when the current principal has nothing left."""
        principal = current.get()
        if not self._per_minute or principal == HERE:
            return
        left = self._now(principal.principal)
        if left <= 0:
            raise QuotaExceeded(
                f"quota compute_seconds: {self._per_minute:g} s of computing per minute are used up; try again later",
                quota="compute_seconds",
                subject=f"principal:{principal.principal}",
                retry_after=max(0.1, -left * 60 / self._per_minute),
            )

    def spend(self, seconds: float) -> None:
        """Take from the current principal what its answer took."""
        caller = current.get()
        if not self._per_minute or caller == HERE:
            return
        left = self._now(caller.principal) - seconds
        if len(self._left) >= _MOST_PRINCIPALS:  # the longest unheard of has the fullest bucket
            self._left.pop(next(iter(self._left)))
        self._left.pop(caller.principal, None)
        self._left[caller.principal] = (left, self._clock())

    def _now(self, principal: str) -> float:
        left, at = self._left.get(principal, (self._per_minute, 0.0))
        return min(self._per_minute, left + (self._clock() - at) * self._per_minute / 60)
