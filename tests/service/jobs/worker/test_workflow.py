"""The workflow of a clip, in a worker that meets an error which nobody foresaw."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable

from actionlens.v1 import job_pb2
from service.jobs.store.job_engine import DatabaseJobEngine
from service.jobs.worker.workflow import CRASHED
from service.settings import Settings
from tests.service.jobs.workers import ROOT, Worker, computed, ended, recorded, request
from tests.waiting import PATIENCE

# The third block is computed and stored, and its rows are not written.
_BROKEN = """
import sys
from service.jobs.store import transitions
from service.jobs.worker.process import run_worker
from service.settings import Settings

advance = transitions.advance

def fails(database, clip, done):
    if done.iteration == 3:
        raise RuntimeError("a bug")
    advance(database, clip, done)

transitions.advance = fails
run_worker(Settings.model_validate_json(sys.argv[1]))
"""


async def test_an_unforeseen_error_ends_the_worker_and_is_no_result(
    settings: Settings,
    open_engine: Callable[[Settings], Awaitable[DatabaseJobEngine]],
    start_worker: Callable[..., Worker],
) -> None:
    engine = await open_engine(settings)
    job, _ = await engine.create(request(1))
    broken = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _BROKEN, settings.model_dump_json()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert broken.returncode == CRASHED, broken.stdout + broken.stderr
    assert "a bug" in broken.stdout + broken.stderr
    assert (computed(engine.database), recorded(engine.database)) == (2, 2)
    start_worker(settings)
    assert (await ended(engine, job.id)).state == job_pb2.JOB_STATE_SUCCEEDED
    assert computed(engine.database) == recorded(engine.database)
