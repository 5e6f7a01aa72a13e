"""Admission: a fixed number of places at the workers, a bounded waiting room before them."""

from __future__ import annotations

import asyncio
from collections import deque

from service.errors import ActionLensError, DeadlineExceeded, ResourceExhausted, Unavailable

_SMOOTHING = 0.2


class Admission:
    """Lets at most `places` clips in at once and at most `room` wait, first come first served.

    For one event loop. Whoever entered must leave exactly once.
    """

    def __init__(self, model: str, places: int, room: int) -> None:
        self.places = places
        self.room = room
        self._model = model
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._hold = 0.1

    @property
    def busy(self) -> int:
        """Clips inside."""
        return self._busy

    @property
    def waiting(self) -> int:
        """Clips before the gate."""
        return len(self._waiting)

    async def enter(self, at: float) -> None:
        """Wait for a place until the loop's clock shows `at`.

        Raises ResourceExhausted when the waiting room is full, DeadlineExceeded when the time has come first,
        Unavailable when the gate is closed.
        """
        loop = asyncio.get_running_loop()
        if self._closed:
            raise self._stopped()
        if loop.time() >= at:
            raise self._late()
        if self._busy < self.places:
            self._busy += 1
            return
        if len(self._waiting) >= self.room:
            raise ResourceExhausted(
                f"model {self._model!r} is over capacity: {self._busy} clips in work and {self.room} waiting",
                retry_after=self._patience(),
            )
        place: asyncio.Future[None] = loop.create_future()
        self._waiting.append(place)
        alarm = loop.call_at(at, self._refuse, place, self._late())
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._pass_on()  # the place was handed over while the caller was leaving
            elif place in self._waiting:
                self._waiting.remove(place)
            raise
        finally:
            alarm.cancel()

    def leave(self, seconds: float) -> None:
        """Give the place back. seconds: how long it was held; future callers are told to wait accordingly."""
        self._hold += _SMOOTHING * (seconds - self._hold)
        self._pass_on()

    def close(self) -> None:
        """Refuse new callers and all that wait."""
        self._closed = True
        while self._waiting:
            self._refuse(self._waiting[0], self._stopped())

    def _pass_on(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():  # a cancelled caller stays in line until its task runs again
                place.set_result(None)
                return
        self._busy -= 1

    def _refuse(self, place: asyncio.Future[None], error: ActionLensError) -> None:
        if place in self._waiting:
            self._waiting.remove(place)
            if not place.done():
                place.set_exception(error)

    def _patience(self) -> float:
        turns = (len(self._waiting) + 1) / self.places
        return min(30.0, max(0.05, turns * self._hold))

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"the deadline passed before model {self._model!r} had a free place")

    def _stopped(self) -> Unavailable:
        return Unavailable("the service is stopping")
