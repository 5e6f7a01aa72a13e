"""Admission: a fixed number of slots at the workers, a bounded waiting room before them."""

from __future__ import annotations

import asyncio

from service.concurrency.fifo_slots import FifoSlots
from service.errors import DeadlineExceeded, ResourceExhausted, Unavailable

_SMOOTHING = 0.2


class Admission:
    """Lets at most `slots` clips in at once and at most `room` wait, first come first served.

    For one event loop. Whoever entered must leave exactly once.
    """

    def __init__(self, model: str, slots: int, room: int) -> None:
        self.slots = slots
        self.room = room
        self._model = model
        self._busy = 0
        self._line = FifoSlots(self._pass_on)
        self._closed = False
        self._hold = 0.1

    @property
    def busy(self) -> int:
        """Clips inside."""
        return self._busy

    @property
    def waiting(self) -> int:
        """Clips in the waiting room."""
        return len(self._line)

    async def enter(self, at: float) -> None:
        """Wait for a slot until the loop's clock shows `at`.

        Raises ResourceExhausted when the waiting room is full, DeadlineExceeded when the time has come first,
        Unavailable when it is closed.
        """
        if self._closed:
            raise self._stopped()
        if asyncio.get_running_loop().time() >= at:
            raise self._late()
        if self._busy < self.slots:
            self._busy += 1
            return
        if self.waiting >= self.room:
            raise ResourceExhausted(
                f"model {self._model!r} is over capacity: {self._busy} clips in work and {self.room} waiting",
                retry_after=self._retry_after(),
            )
        try:
            async with asyncio.timeout_at(at):
                await self._line.wait()
        except TimeoutError:
            raise self._late() from None

    def leave(self, seconds: float) -> None:
        """Give the slot back. seconds: how long it was held; what refused callers are told to wait follows from it."""
        self._hold += _SMOOTHING * (seconds - self._hold)
        self._pass_on()

    def close(self) -> None:
        """Refuse new callers and all that wait."""
        self._closed = True
        self._line.refuse(self._stopped)

    def _pass_on(self) -> None:
        if not self._line.grant():
            self._busy -= 1

    def _retry_after(self) -> float:
        rounds = (self.waiting + 1) / self.slots
        return min(30.0, max(0.05, rounds * self._hold))

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"the deadline passed before model {self._model!r} had a free slot")

    def _stopped(self) -> Unavailable:
        return Unavailable("the service is stopping")
