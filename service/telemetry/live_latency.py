"""Measures how long live answers take now, which job workers stand back for."""

from __future__ import annotations

import time
from collections import deque

_WINDOW_SECONDS = 10.0
_MOST = 4096


class LiveLatency:
    """The 95th percentile of the live answers of the last seconds, for one event loop."""

    def __init__(self) -> None:
        self._answers: deque[tuple[float, float]] = deque(maxlen=_MOST)

    def add(self, seconds: float) -> None:
        """Note that a live answer took so many seconds."""
        self._answers.append((time.monotonic(), seconds))

    def p95(self) -> float | None:
        """Seconds; None when nobody has asked lately."""
        since = time.monotonic() - _WINDOW_SECONDS
        while self._answers and self._answers[0][0] < since:
            self._answers.popleft()
        if not self._answers:
            return None
        ordered = sorted(seconds for _, seconds in self._answers)
        return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
