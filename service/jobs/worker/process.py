"""The job worker: a process that takes clips from the queues and has them computed. `actionlens jobs worker` runs it.

Run as a module it is the child of `actionlens serve`: its settings come as one line on standard input, and when that
closes, the service is gone and the worker stops.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable

from dbos import DBOS, DBOSPortableJSONSerializer
from sqlalchemy.exc import SQLAlchemyError

from actionlens.heartbeat import start_beating
from service import data_folder
from service.backends.factory import make_backend
from service.decoding.process.decoder import make_decoder
from service.errors import Unavailable
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.database import APPLICATION, Database
from service.jobs.store.database_failures import first_line, is_damage
from service.jobs.store.lease import BEATS, Lease, give_up
from service.jobs.store.queue import register_queues
from service.jobs.store.retention import sweep, tidy
from service.jobs.worker.backend_pool import BackendPool
from service.jobs.worker.context import CRASHED, WorkerContext, end_damaged
from service.jobs.worker.launch import WorkerLaunch
from service.jobs.worker.workflow import register_workflow
from service.settings import Settings
from service.telemetry.log import configure, get_logger

VERSION = "1"
"""Of the workflow. Not of the release: DBOS lets clips be taken over by workers of the same version only."""

_TIDY_SECONDS = 60.0
_SWEEP_SECONDS = 3600.0


def run_worker(settings: Settings, executor: str = "", version: str = VERSION, *, create: bool = True) -> None:
    """Compute jobs until SIGINT or SIGTERM; then this process ends, after the blocks in work. create: as Database.open.

    Raises Unavailable when the database or the artefacts cannot be opened.
    """
    configure(settings.log_format, settings.log_level)
    os.nice(settings.jobs.nice)
    executor = executor or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    asyncio.run(_Worker(settings, executor, version, create).run())


class _Worker:
    def __init__(self, settings: Settings, executor: str, version: str, create: bool) -> None:
        self._settings = settings
        self._executor = executor
        self._version = version
        self._create = create
        self._leaving = False
        self._log = get_logger().bind(worker=executor)

    async def run(self) -> None:
        settings = self._settings
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        if warning := data_folder.prepare(settings.data):
            self._log.warning(warning)
        database = await asyncio.to_thread(Database.open, settings, create=self._create)
        artefacts = await asyncio.to_thread(Artefacts, settings)
        context = WorkerContext(
            settings, database, artefacts, BackendPool(settings, make_backend), make_decoder(settings)
        )
        lease = Lease(database, self._executor, settings.jobs.lease_seconds)
        await asyncio.to_thread(lease.begin)
        await self._launch(context)
        every = settings.jobs.lease_seconds / BEATS
        # Threads of their own: whatever the event loop is busy with, the lease must be kept.
        self._repeat("lease", every, lambda: self._beat(lease, database))
        self._repeat("retention", _TIDY_SECONDS, lambda: tidy(database, artefacts, settings.jobs))
        self._repeat("sweep", _SWEEP_SECONDS, lambda: sweep(database, artefacts))
        tidying = asyncio.create_task(context.pool.tidy())
        start_beating()
        self._log.info("taking jobs", database=database.engine.url.render_as_string(hide_password=True))
        await stopping.wait()
        self._log.info("stopping after the blocks in work")
        tidying.cancel()
        await context.drain(settings.drain_seconds + settings.jobs.block_seconds)
        await context.pool.stop()
        context.decoder.close()
        await asyncio.to_thread(self._give_up, database)
        # Tasks of DBOS hold clips that were not begun and never will be here.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    async def _launch(self, context: WorkerContext) -> None:
        DBOS(
            config={
                "name": APPLICATION,
                "system_database_engine": context.database.engine,
                "serializer": DBOSPortableJSONSerializer(),
                "executor_id": self._executor,
                "application_version": self._version,
                "use_listen_notify": False,
                # That the database is away we say ourselves; DBOS would in every thread, with whole statements.
                "log_level": "ERROR",
                # The tables are there already.
                "run_migrations": False,
            }
        )
        # It has brought a handler that would write beside ours.
        logger = logging.getLogger("dbos")
        logger.handlers[:], logger.propagate = [], True
        register_workflow(context)
        await asyncio.to_thread(register_queues, context.database, self._settings.jobs)
        # Here, not in a thread: DBOS runs workflows that are coroutines on the event loop that it is launched on.
        DBOS.launch()

    def _beat(self, lease: Lease, database: Database) -> None:
        try:
            database.check_there()
        except Unavailable as error:
            self._log.error("this worker has lost its database; it ends", error=error.message)
            os._exit(CRASHED)
        if not lease.beat() and not self._leaving:
            self._log.error("this worker was taken for dead and has lost its clips; it ends")
            os._exit(CRASHED)

    def _give_up(self, database: Database) -> None:
        # From here on a missing lease is no sign of having been taken for dead.
        self._leaving = True
        try:
            give_up(database, self._executor)
        except SQLAlchemyError as error:
            self._log.warning("the lease runs out by itself", error=first_line(error))

    def _repeat(self, name: str, seconds: float, work: Callable[[], None]) -> None:
        """Do something forever, at once and then every so many seconds."""

        def loop() -> None:
            pause = threading.Event()
            while True:
                try:
                    work()
                except Exception as error:  # the database may be away; the next round finds out
                    if is_damage(error):
                        end_damaged(error)
                    self._log.warning(f"{name} failed", error=first_line(error))
                pause.wait(seconds)

        threading.Thread(target=loop, name=name, daemon=True).start()


def _child() -> None:
    launch = WorkerLaunch.model_validate_json(sys.stdin.readline())

    def follow() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, name="lifeline", daemon=True).start()
    # The service has made it: one that is not there now is lost, and an empty one would hide that.
    run_worker(launch.settings, launch.executor, create=False)


if __name__ == "__main__":
    _child()
