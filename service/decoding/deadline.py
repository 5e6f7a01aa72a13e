"""The time that decoding one clip may take."""

from __future__ import annotations

import time

from service.errors import DeadlineExceeded


class Deadline:
    """Begins to run when it is made.

    seconds: how long the work may take. field: the request field that is being worked on, for the error.
    """

    def __init__(self, seconds: float, field: str) -> None:
        self._seconds = seconds
        self._field = field
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raise DeadlineExceeded (reason DECODE_TOO_SLOW) when the time is over."""
        if time.monotonic() > self._end:
            raise DeadlineExceeded(
                f"{self._field}: decoding took longer than {self._seconds:g} s; "
                "send fewer or smaller frames, or raise ACTIONLENS_LIMITS__DECODE_SECONDS",
                field=self._field,
                reason="DECODE_TOO_SLOW",
            )
