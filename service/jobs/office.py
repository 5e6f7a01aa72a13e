"""All of jobs that lives in the service's process: the engine, its workers, and word between them and live traffic."""

from __future__ import annotations

import asyncio

from service.errors import ActionLensError
from service.jobs.counts import Counts
from service.jobs.engine import DatabaseJobEngine
from service.jobs.keeper import Keeper
from service.jobs.throttle import LiveLatency, Notice
from service.log import get_logger
from service.settings import Settings

_PUBLISH_SECONDS = 1.0
_COUNT_SECONDS = 5.0


class JobOffice:
    """For one event loop. Start it once and stop it once."""

    def __init__(self, settings: Settings, live: LiveLatency) -> None:
        """live: what the service's own answers take."""
        self.engine = DatabaseJobEngine(settings)
        self.counts = Counts({}, {}, ())
        """Of all jobs, some seconds old."""
        self._settings = settings
        self._live = live
        self._notice = Notice(settings.data)
        self._keeper: Keeper | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def restarts(self) -> int:
        """Times that a job worker had to be started again."""
        return self._keeper.restarts if self._keeper is not None else 0

    async def start(self) -> None:
        """Open the engine and start the workers. Raises Unavailable."""
        await self.engine.start()
        self._keeper = Keeper(self._settings, self.engine.database)
        self._keeper.start()
        self._tasks = [asyncio.create_task(self._publish()), asyncio.create_task(self._count())]

    async def stop(self) -> None:
        """Stop the workers after their blocks, then the engine. Safe to call twice, and after a failed start."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._keeper is not None:
            await self._keeper.stop()
        self._notice.publish(None)
        await self.engine.stop()

    async def _publish(self) -> None:
        while True:
            p95 = self._live.p95()
            await asyncio.to_thread(self._notice.publish, p95)
            await asyncio.sleep(_PUBLISH_SECONDS)

    async def _count(self) -> None:
        while True:
            try:
                self.counts = await self.engine.counts()
            except ActionLensError as error:
                get_logger().warning("jobs cannot be counted", error=error.message)
            await asyncio.sleep(_COUNT_SECONDS)
