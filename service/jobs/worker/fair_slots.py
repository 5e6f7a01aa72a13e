"""Slots at the compute processes: free ones go to the band that has had least for its weight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from actionlens.v1 import job_pb2
from service.concurrency.fifo_slots import FifoSlots

_WEIGHTS: dict[int, float] = {
    job_pb2.JOB_PRIORITY_LOW: 1.0,
    job_pb2.JOB_PRIORITY_NORMAL: 4.0,
    job_pb2.JOB_PRIORITY_HIGH: 16.0,
}


class FairSlots:
    """`async with slots.held(band)`: compute one block. Within a band first come, first served; for one event loop.

    Bands that all want to compute get time as 1 : 4 : 16, so the lowest goes slowly but never stands still.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._had = dict.fromkeys(_WEIGHTS, 0.0)
        self._held = dict.fromkeys(_WEIGHTS, 0)
        self._lines = {band: FifoSlots(partial(self._give_back, band)) for band in _WEIGHTS}

    @asynccontextmanager
    async def held(self, band: int) -> AsyncIterator[None]:
        """Wait for a slot and keep it until the block ends."""
        loop = asyncio.get_running_loop()
        if self._free:
            self._free -= 1
            self._held[band] += 1
        else:
            self._forget_savings(band)
            await self._lines[band].wait()
        begun = loop.time()
        try:
            yield
        finally:
            self._had[band] += (loop.time() - begun) / _WEIGHTS[band]
            self._give_back(band)

    def _forget_savings(self, band: int) -> None:
        """A band that wanted nothing for a while has not saved up for it."""
        others = [self._had[other] for other, line in self._lines.items() if len(line)]
        if others and not len(self._lines[band]) and not self._held[band]:
            self._had[band] = max(self._had[band], min(others))

    def _give_back(self, band: int) -> None:
        self._held[band] -= 1
        for other in sorted(self._lines, key=lambda other: (self._had[other], -other)):
            if self._lines[other].grant():
                self._held[other] += 1
                return
        self._free += 1
