"""Keeps the job workers of `actionlens serve` running: starts them, replaces what ends or hangs."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from service.child_processes.heartbeats import LOOK_SECONDS, Heartbeats
from service.jobs.store.database import Database
from service.jobs.store.database_failures import first_line
from service.jobs.store.lease import give_up
from service.jobs.store.tables import WORKERS
from service.jobs.worker.launch import WorkerLaunch
from service.settings import BackendName, Settings
from service.telemetry.log import get_logger

_ROOT = Path(__file__).resolve().parents[3]
_LONGEST_BACK_OFF = 30.0
# A worker that has run for so long was well; the next one starts at once.
_WELL_SECONDS = 60.0
_STOP_MARGIN = 10.0


class WorkerSupervisor:
    """The job workers that are children of this process. For one event loop."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._tasks: list[asyncio.Task[None]] = []
        self._heartbeats = Heartbeats()
        self._looking: asyncio.Task[None] | None = None
        self._workers: dict[int, asyncio.subprocess.Process] = {}
        self._at_once = False
        self.restarts = 0
        """Times that a worker had to be started again."""

    def start(self) -> None:
        """Start the workers; they are at work some seconds later."""
        if self._settings.backend is not BackendName.ONNX:  # no graph computes a job, and CreateJob says so
            self._tasks = [asyncio.create_task(self._keep()) for _ in range(self._settings.jobs.workers)]
            self._looking = asyncio.create_task(self._look())

    async def stop(self, *, at_once: bool = False) -> None:
        """Stop them after the blocks in work, which stay as long as it takes, within the drain time; or at once, where
        what they compute cannot be kept."""
        self._at_once = at_once
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        # To the end: one that is frozen while it is to stop would take all of its time.
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        self._heartbeats.close()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        back_off = 0.0
        while True:
            begun = loop.time()
            executor = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
            process = await self._launch(executor)
            self._workers[process.pid] = process
            watching = asyncio.create_task(self._watch(process, executor))
            try:
                status = await process.wait()
            finally:
                watching.cancel()
                await self._end(process)
                self._workers.pop(process.pid, None)
                await self._give_up(executor)
            self.restarts += 1
            back_off = 0.0 if loop.time() - begun > _WELL_SECONDS else min(2 * back_off + 1, _LONGEST_BACK_OFF)
            get_logger().warning("a job worker ended; starting another", status=status, seconds=back_off)
            await asyncio.sleep(back_off)

    async def _launch(self, executor: str) -> asyncio.subprocess.Process:
        launch = WorkerLaunch(settings=self._settings, executor=executor)
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", ""))))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service.jobs.worker.process"),
            stdin=asyncio.subprocess.PIPE,
            # All of ours: it opens the database and the artefacts. What computes for it gets less.
            env={**os.environ, **self._heartbeats.environment, "PYTHONPATH": path},
            start_new_session=True,  # a terminal's Ctrl-C is for the service alone, which then ends its workers
        )
        assert process.stdin is not None
        process.stdin.write(launch.model_dump_json().encode() + b"\n")
        return process

    async def _look(self) -> None:
        """Kill workers that are frozen: in the middle of a transaction, one would keep SQLite's one write lock from
        everybody else."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for pid in self._heartbeats.frozen(self._workers):
                if self._workers[pid].returncode is None:
                    get_logger().warning("a job worker is frozen; killing it", pid=pid)
                    self._workers[pid].kill()

    async def _watch(self, process: asyncio.subprocess.Process, executor: str) -> None:
        """Kill the worker when it has lost its lease: then it lives, but does not get to its database."""
        seen = False
        while True:
            await asyncio.sleep(self._settings.jobs.lease_seconds)
            try:
                alive = await asyncio.to_thread(self._alive, executor)
            except SQLAlchemyError:
                continue
            if seen and not alive:
                get_logger().warning("a job worker hangs; killing it", worker=executor)
                process.kill()
            seen = seen or alive

    def _alive(self, executor: str) -> bool:
        with self._database.reading() as connection:
            beat = connection.scalar(sa.select(WORKERS.c.beat).where(WORKERS.c.executor == executor))
            return beat is not None and beat > self._database.now(connection) - 2 * self._settings.jobs.lease_seconds

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Close the lifeline and wait; then kill."""
        if process.returncode is not None:
            return
        if self._at_once:
            process.kill()
        assert process.stdin is not None
        process.stdin.close()
        jobs = self._settings.jobs
        try:
            async with asyncio.timeout(self._settings.drain_seconds + jobs.block_seconds + _STOP_MARGIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _give_up(self, executor: str) -> None:
        try:
            await asyncio.to_thread(give_up, self._database, executor)
        except SQLAlchemyError as error:
            get_logger().warning("a worker's lease runs out by itself", error=first_line(error))
