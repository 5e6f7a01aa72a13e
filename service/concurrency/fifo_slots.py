"""First come, first served: tasks that wait in line for a slot."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class FifoSlots:
    """A line of tasks, each waiting until it is granted a slot. For one event loop.

    How many slots there are, and when one is granted, is its owner's policy. The owner counts a slot as taken when it
    calls `grant`; take_back is called for one that was granted to a task that had been cancelled by then: the owner
    passes it on. So cancelling a task never loses a slot and never invents one.
    """

    def __init__(self, take_back: Callable[[], None]) -> None:
        self._take_back = take_back
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """Tasks that wait. One that has been cancelled does not, though it leaves the line only when it next runs."""
        return sum(not waiter.done() for waiter in self._waiters)

    async def wait(self) -> None:
        """Return when a slot has been granted. Raises what `refuse` was given."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not waiter.cancelled() and waiter.exception() is None:
                self._take_back()  # granted while the task was being cancelled
            raise

    def grant(self) -> bool:
        """Give a slot to the task that has waited longest. False when none waits."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return True
        return False

    def refuse(self, error: Callable[[], Exception]) -> None:
        """Have every task that waits raise an error of its own."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error())
