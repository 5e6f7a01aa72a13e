"""The state that all clips in work at one worker share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from service.decoding.process.decoder import Decoder
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.database import Database
from service.jobs.store.database_failures import first_line, is_damage, is_outage
from service.jobs.worker.backend_pool import BackendPool
from service.jobs.worker.live_notice import LiveNotice
from service.settings import Settings
from service.telemetry.log import get_logger

T = TypeVar("T")

CRASHED = 70
"""Exit status of a worker that has lost its database or its lease."""

_LONGEST_WAIT = 5.0
_LOOK_SECONDS = 0.5
_DRAIN_WAIT = 0.1


@dataclass(slots=True)
class WorkerContext:
    """Database, artefacts, compute processes and decoders of a worker, and whether it stops. For one event loop."""

    settings: Settings
    database: Database
    artefacts: Artefacts
    pool: BackendPool
    decoder: Decoder
    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _busy: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    async def drain(self, seconds: float) -> None:
        """Begin no more blocks, and wait for those in work, at most so long."""
        self._stopping.set()
        if self._busy:
            await _wait(self._idle, seconds)

    async def take_up(self) -> None:
        """Begin a block; `put_down` ends it. When the worker is stopping this never returns: the process ends, and the
        clip goes on elsewhere from its last state."""
        if self._stopping.is_set():
            await asyncio.Event().wait()
        self._busy += 1
        self._idle.clear()

    def put_down(self) -> None:
        """The block is on record, or came to nothing."""
        self._busy -= 1
        if not self._busy:
            self._idle.set()

    async def pause(self, seconds: float) -> None:
        """Wait; not to the end when the worker is stopping."""
        await _wait(self._stopping, seconds)

    async def stand_back(self, computed: float, given_up: Callable[[], bool]) -> None:
        """Wait while live answers take too long: at most until `computed` seconds, those of the block before, are
        `least_share` of the time, and not for a clip that is `given_up`."""
        jobs = self.settings.jobs
        notice = LiveNotice(self.settings.data)
        end = self.clock() + min(jobs.yield_seconds, computed * (1 / jobs.least_share - 1))
        while await asyncio.to_thread(notice.worst) > jobs.live_p95_seconds:
            left = end - self.clock()
            if left <= 0 or self._stopping.is_set() or await self.patiently(given_up):
                return
            await self.pause(min(_LOOK_SECONDS, left))

    async def patiently(self, work: Callable[[], T]) -> T:
        """Do something with the database in a thread, again and again while it does not answer or has no room. Where
        its file is damaged the process ends. Raises what `work` does otherwise, such as for a value that no database
        takes."""
        wait = 0.1
        while True:
            try:
                return await asyncio.to_thread(work)
            except SQLAlchemyError as error:
                if not is_outage(error):
                    raise
                if is_damage(error):
                    end_damaged(error)
                get_logger().warning("the job database does not answer", error=first_line(error))
                await self.pause(wait)
                if self._stopping.is_set():  # then no pause is one
                    await asyncio.sleep(_DRAIN_WAIT)
                wait = min(2 * wait, _LONGEST_WAIT)


def end_damaged(error: BaseException) -> NoReturn:
    """End the process: no waiting mends a damaged file, and the service looks at it when a worker has ended."""
    get_logger().error("the job database is damaged; this worker ends", error=first_line(error))
    os._exit(CRASHED)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, at most so long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
