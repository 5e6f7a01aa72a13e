"""Places at the compute processes: free ones go to the band that has had least for its weight."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actionlens.v1 import job_pb2

_WEIGHTS: dict[int, float] = {
    job_pb2.JOB_PRIORITY_LOW: 1.0,
    job_pb2.JOB_PRIORITY_NORMAL: 4.0,
    job_pb2.JOB_PRIORITY_HIGH: 16.0,
}


class FairSlots:
    """`async with places.held(band)`: compute one block. Within a band first come, first served; for one event loop.

    Bands that all want to compute get time as 1 : 4 : 16, so the lowest goes slowly but never stands still.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._had = dict.fromkeys(_WEIGHTS, 0.0)
        self._held = dict.fromkeys(_WEIGHTS, 0)
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {band: deque() for band in _WEIGHTS}

    @asynccontextmanager
    async def held(self, band: int) -> AsyncIterator[None]:
        """Wait for a place and keep it until the block ends."""
        loop = asyncio.get_running_loop()
        if self._free:
            self._free -= 1
            self._held[band] += 1
        else:
            await self._turn(band)
        begun = loop.time()
        try:
            yield
        finally:
            self._held[band] -= 1
            self._had[band] += (loop.time() - begun) / _WEIGHTS[band]
            self._pass_on()

    async def _turn(self, band: int) -> None:
        others = [self._had[other] for other, line in self._waiting.items() if line]
        if others and not self._waiting[band] and not self._held[band]:
            # A band that wanted nothing for a while has not saved up for it.
            self._had[band] = max(self._had[band], min(others))
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[band].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._held[band] -= 1
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        for band in sorted(self._waiting, key=lambda band: (self._had[band], -band)):
            line = self._waiting[band]
            while line:
                turn = line.popleft()
                if not turn.done():
                    self._held[band] += 1
                    turn.set_result(None)
                    return
        self._free += 1
