"""The part of jobs that lives in the service's process: the engine, the workers' supervisor, and the notice of how long
live answers take."""

from __future__ import annotations

import asyncio

from service.errors import ActionLensError
from service.jobs.store.counts import Counts
from service.jobs.store.database_failures import first_line
from service.jobs.store.job_engine import DatabaseJobEngine
from service.jobs.worker.live_notice import LiveNotice
from service.jobs.worker.worker_supervisor import WorkerSupervisor
from service.settings import Settings
from service.telemetry.live_latency import LiveLatency
from service.telemetry.log import get_logger

_PUBLISH_SECONDS = 1.0
_LOOK_SECONDS = 5.0
# A database that takes longer to answer is none that jobs can be taken with.
_PATIENCE_SECONDS = 10.0
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
        self._answers = False
        self._restarts = self._looked = 0
        self._starting: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def is_open(self) -> bool:
        """Whether jobs can be taken, as of some seconds ago."""
        return self._supervisor is not None and self._answers

    @property
    def restarts(self) -> int:
        """Times that a job worker had to be started again."""
        return self._restarts + (self._supervisor.restarts if self._supervisor is not None else 0)

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
        tasks = [task for task in (self._starting, self._running) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
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
        self._answers = True
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Publish the notice and follow the database, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish())
            group.create_task(self._follow())

    async def _publish(self) -> None:
        while True:
            p95 = self._live.p95()
            await asyncio.to_thread(self._notice.publish, p95)
            await asyncio.sleep(_PUBLISH_SECONDS)

    async def _follow(self) -> None:
        """Count jobs, and find out whether they can be taken. A database that is lost is opened again when it is back;
        one that does not answer is asked again."""
        while True:
            looking = asyncio.create_task(self._look())
            try:
                done, _ = await asyncio.wait((looking,), timeout=_PATIENCE_SECONDS)
                if not done:
                    self._say(f"their database has not answered for {_PATIENCE_SECONDS:g} seconds")
                # No second question while the first has no answer: it would take another thread.
                self._say(await looking)
            finally:
                looking.cancel()
            if self.engine.is_lost():
                await self._reopen()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> str:
        """Why jobs cannot be taken now; empty: they can."""
        try:
            if self.restarts != self._looked:  # a worker reads pages that nobody else does
                self._looked = self.restarts
                await self.engine.check()
            await self.engine.probe()
            self.counts = await self.engine.counts()
        except ActionLensError as error:
            return str(error)
        except Exception as error:
            get_logger().error("jobs cannot be counted", exc_info=error)
            return first_line(error)
        return ""

    def _say(self, trouble: str) -> None:
        if trouble and self._answers:
            get_logger().error("jobs are not available; trying again", error=trouble)
        if not trouble and not self._answers:
            get_logger().info("jobs are available now")
        self._answers = not trouble

    async def _reopen(self) -> None:
        """Without workers and connections, which would go on with what is lost."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            await supervisor.stop(at_once=True)
            self._restarts += supervisor.restarts
        await self.engine.let_go()
        self._tried.set()
        await self._open()
