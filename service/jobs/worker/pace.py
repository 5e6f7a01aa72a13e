"""How much longer a clip takes than its computing, of which the time left is estimated."""

from __future__ import annotations

from collections.abc import Callable

_FORGETS = 0.8
"""What a block counts for, relative to the block after it."""


class Pace:
    """Seconds that pass for each of computing, of the last blocks."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ended: float | None = None
        self._passed = self._computed = 0.0

    def after(self, seconds: float) -> float:
        """A block of `seconds` of computing has just ended. Returns the pace, at least 1; of the first block it is 1,
        since nothing tells the wait for it from a wait that comes once."""
        now = self._clock()
        passed = seconds if self._ended is None else max(now - self._ended, seconds)
        self._ended = now
        self._passed = _FORGETS * self._passed + passed
        self._computed = _FORGETS * self._computed + seconds
        return self._passed / self._computed if self._computed else 1.0
