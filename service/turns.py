"""Streams take turns at the workers: first come, first served, so that none waits for more than one window of each."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from service.backends.base import InferenceBackend


class Turns:
    """Places at the backend, by model. A stream chooses its window after it has got a place, so that waiting costs
    answers per second but no freshness: lag stays the same for any number of streams."""

    def __init__(self, backend: InferenceBackend) -> None:
        self._backend = backend
        self._places = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(self.places))

    @property
    def places(self) -> int:
        """Windows of one model that may be at the backend at once."""
        return max(1, self._backend.capacity() // max(1, len(self._backend.models())))

    async def take(self, model: str) -> None:
        """Wait for a place; streams that wait are served in order."""
        await self._places[model].acquire()

    def give_back(self, model: str) -> None:
        """The window has been answered, or given up."""
        self._places[model].release()
