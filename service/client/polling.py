"""How long to wait for a job, and through what."""

from __future__ import annotations

import time

from service.errors import DeadlineExceeded, Unavailable

PATIENCE = 60.0
"""Seconds for which waiting bears that nobody answers: a service that restarts knows its jobs."""
_AGAIN = 1.0


class Waiting:
    """One wait for the end of a job. seconds: the longest; None: for ever."""

    def __init__(self, identifier: str, seconds: float | None) -> None:
        self._identifier = identifier
        self._end = None if seconds is None else time.monotonic() + seconds
        self._silent_since: float | None = None

    def left(self) -> float | None:
        """Seconds left, None for no limit. Raises DeadlineExceeded when none are."""
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"job {self._identifier} has not ended in time; it goes on, watch it again")
        return left

    def heard(self) -> None:
        """The service has answered."""
        self._silent_since = None

    def bear(self, error: Unavailable) -> None:
        """Nobody answered. Raises the error when that has lasted too long."""
        self._silent_since = self._silent_since or time.monotonic()
        if time.monotonic() - self._silent_since > PATIENCE:
            raise error

    def pause(self) -> float:
        """Seconds to wait before watching again. Raises as `left`."""
        left = self.left()
        return _AGAIN if left is None else min(_AGAIN, left)
