"""A job worker that is frozen is replaced, also while its lease has long to run."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from actionlens.heartbeat import beats_of
from service.jobs.store.database import Database
from service.jobs.worker.worker_supervisor import WorkerSupervisor
from service.settings import JobSettings, Settings
from tests.waiting import eventually


@pytest.mark.timeout(600)
async def test_a_frozen_worker_is_replaced_before_its_lease_runs_out(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, jobs=JobSettings(lease_seconds=36000))
    database = await asyncio.to_thread(Database.open, settings)
    supervisor = WorkerSupervisor(settings, database)
    supervisor.start()
    try:
        await eventually(lambda: bool(supervisor._workers))
        (pid,) = supervisor._workers
        frozen = psutil.Process(pid)
        await eventually(lambda: beats_of(supervisor._heartbeats._file, pid) > 0)
        os.kill(pid, signal.SIGSTOP)
        await eventually(lambda: supervisor.restarts == 1)
        assert not frozen.is_running()
        await eventually(lambda: bool(supervisor._workers.keys() - {pid}))
    finally:
        await supervisor.stop()
        await asyncio.to_thread(database.close)
    assert not supervisor._workers
