"""Counts how often something happens."""

from __future__ import annotations

import time
from collections import deque

_SECONDS = 3.0


class FrameRate:
    """Events per second over the last three seconds. One thread counts, others may read."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=1000)
        self._since = time.monotonic()

    def count(self) -> None:
        """One more."""
        self._times.append(time.monotonic())

    @property
    def per_second(self) -> float:
        now = time.monotonic()
        recent = sum(1 for moment in tuple(self._times) if moment > now - _SECONDS)
        return recent / min(_SECONDS, max(now - self._since, 0.1))
