"""The part of jobs that lives in the service's process: the engine, the workers' supervisor, and the notice of how long
live answers take."""

from __future__ import annotations

import asyncio

from service.errors import ActionLensError
from service.jobs.store.counts import Counts
from service.jobs.store.job_engine import DatabaseJobEngine
from service.jobs.worker.live_notice import LiveNotice
from service.jobs.worker.worker_supervisor import WorkerSupervisor
from service.settings import Settings
from service.telemetry.live_latency import LiveLatency
from service.telemetry.log import get_logger

_PUBLISH_SECONDS = 1.0
_COUNT_SECONDS = 5.0
# Between attempts to open the database, twice as long every time.
_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE = 30.0
# The service starts without jobs when their database has neither opened nor failed for so long.
_FIRST_SECONDS = 10.0


class JobService:
    """For one event loop. Start it once and stop it once."""

    def __init__(self, settings: Settings, live: LiveLatency) -> None:
        """live: how long the service's own answers take."""
        self.engine = DatabaseJobEngine(settings)
        self.counts = Counts({}, {}, ())
        """Of all jobs, some seconds old."""
        self._settings = settings
        self._live = live
        self._notice = LiveNotice(settings.data)
        self._supervisor: WorkerSupervisor | None = None
        self._starting: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def is_open(self) -> bool:
        """Whether jobs can be taken."""
        return self._supervisor is not None

    @property
    def restarts(self) -> int:
        """Times that a job worker had to be started again."""
        return self._supervisor.restarts if self._supervisor is not None else 0

    async def start(self) -> None:
        """Open the engine and start the workers. An engine that cannot be opened now is tried again until it opens:
        live answers do not wait for jobs."""
        self._starting = asyncio.create_task(self._open())
        trying = asyncio.create_task(self._tried.wait())
        await asyncio.wait((self._starting, trying), timeout=_FIRST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        trying.cancel()
        if self._starting.done():
            self._starting.result()

    async def stop(self) -> None:
        """Stop the workers after their blocks, then the engine. Safe to call twice, and before jobs are open."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait((self._starting,))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._supervisor is not None:
            await self._supervisor.stop()
        self._notice.publish(None)
        await self.engine.stop()

    async def _open(self) -> None:
        pause = _PAUSE_SECONDS
        while True:
            try:
                await self.engine.start()
                break
            except ActionLensError as error:
                get_logger().warning("jobs are not available; trying again", error=str(error), seconds=pause)
            self._tried.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        if self._tried.is_set():
            get_logger().info("jobs are available now")
        self._supervisor = WorkerSupervisor(self._settings, self.engine.database)
        self._supervisor.start()
        self._tasks = [asyncio.create_task(self._publish()), asyncio.create_task(self._count())]

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
                get_logger().warning("jobs cannot be counted", error=str(error))
            await asyncio.sleep(_COUNT_SECONDS)
