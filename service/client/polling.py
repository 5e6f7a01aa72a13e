"""Bounds the wait for a job: how long in all, and how long without an answer."""

from __future__ import annotations

import time

from service.errors import DeadlineExceeded, Unavailable

PATIENCE = 60.0
"""Seconds without an answer after which waiting fails: a service that restarts knows its jobs."""
_AGAIN = 1.0


class JobPolling:
    """One wait for the end of a job. seconds: the longest; None: forever."""

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

    def answered(self) -> None:
        """Note that the service has answered."""
        self._silent_since = None

    def unanswered(self, error: Unavailable) -> None:
        """Note that nobody answered. Raises the error when that has lasted too long."""
        self._silent_since = self._silent_since or time.monotonic()
        if time.monotonic() - self._silent_since > PATIENCE:
            raise error

    def pause(self) -> float:
        """Seconds to wait before watching again. Raises as `left`."""
        left = self.left()
        return _AGAIN if left is None else min(_AGAIN, left)
