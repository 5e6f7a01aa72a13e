"""Waiting for a condition among the tasks of one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Notifier:
    """Tasks wait until a condition holds; whoever changes something it may depend on calls `notify`."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Let every waiting task look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as the condition holds."""
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
