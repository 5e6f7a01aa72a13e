"""The state that all clips in work at one worker share."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.decoding.process.decoder import Decoder
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.database import Database
from service.jobs.worker.backend_pool import BackendPool
from service.jobs.worker.live_notice import LiveNotice
from service.settings import Settings
from service.telemetry.log import get_logger

T = TypeVar("T")

_LONGEST_WAIT = 5.0
_LOOK_SECONDS = 0.5


@dataclass(slots=True)
class WorkerContext:
    """Database, artefacts, compute processes and decoders of a worker, and whether it stops. For one event loop."""

    settings: Settings
    database: Database
    artefacts: Artefacts
    pool: BackendPool
    decoder: Decoder
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

    async def stand_back(self) -> None:
        """Wait while live answers take too long, within bounds."""
        jobs = self.settings.jobs
        notice = LiveNotice(self.settings.data)
        end = time.monotonic() + jobs.yield_seconds
        while await asyncio.to_thread(notice.worst) > jobs.live_p95_seconds:
            if time.monotonic() > end or self._stopping.is_set():
                return
            await self.pause(_LOOK_SECONDS)

    async def patiently(self, work: Callable[[], T]) -> T:
        """Do something with the database in a thread, again and again while it does not answer or has no room."""
        wait = 0.1
        while True:
            try:
                return await asyncio.to_thread(work)
            except (OperationalError, InterfaceError, PoolTimeout) as error:
                get_logger().warning("the job database does not answer", error=str(error).splitlines()[0])
                await self.pause(wait)
                wait = min(2 * wait, _LONGEST_WAIT)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, at most so long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
