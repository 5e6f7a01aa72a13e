"""The workflow of a clip, in a worker that meets errors which nobody foresaw: each fails its clip, and no other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from actionlens.v1 import job_pb2
from service.jobs.store.job_engine import DatabaseJobEngine
from service.jobs.store.tables import UPLOADS
from service.settings import Settings
from tests.service.jobs.workers import ROOT, ended, request

OpenEngine = Callable[[Settings], Awaitable[DatabaseJobEngine]]

# What a clip meets, by its index. Each is raised where such an error would come from.
_BROKEN = """
import sys
from service.jobs.store import transitions
from service.jobs.worker import clip_runner, workflow
from service.jobs.worker.process import run_worker
from service.settings import Settings

runner, advance, finish, begin = clip_runner.ClipRunner, transitions.advance, transitions.finish, workflow.begin
record = runner._record_block

def recorded(self, resolved, response, seconds, pace):
    match self._key.clip_index:
        case 0:
            response.advanced.objective = float("nan")
        case 1:
            response.advanced.objective = float("inf")
        case 2:
            response.advanced.iteration = 2**32 - 1
        case 3:
            raise RuntimeError("half \\ud800 of a pair, a \\0 and an escape \\x1b[2J")
        case 4:
            raise KeyError()
    return record(self, resolved, response, seconds, pace)

def advanced(database, clip, done):
    if clip.clip_index == 5:  # a value that the database does not take
        done = transitions.Advance(done.iteration, 2**70, None, done.seconds, 1.0, None)
    if clip.clip_index == 6:  # nor this
        done = transitions.Advance(done.iteration, done.iterations, None, done.seconds, 1.0, "half \\ud800 of a pair")
    advance(database, clip, done)

def finished(database, clip, state, **values):
    if clip.clip_index == 7:
        raise RuntimeError("cannot be ended")
    return finish(database, clip, state, **values)

def begun(database, clip):
    if clip.clip_index == 8:
        raise RuntimeError("cannot be begun")
    return begin(database, clip)

runner._record_block, transitions.advance, transitions.finish, workflow.begin = recorded, advanced, finished, begun
workflow._PAUSE = 0.01
run_worker(Settings.model_validate_json(sys.argv[1]))
"""


@pytest.fixture
def broken(either: Settings, tmp_path: Path) -> Iterator[tuple[Settings, subprocess.Popen[bytes]]]:
    """A worker in a process of its own, with its settings."""
    jobs = either.jobs.model_copy(update={"attempts": 2})
    settings = either.model_copy(update={"jobs": jobs})
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-c", _BROKEN, settings.model_dump_json()], cwd=ROOT, stdout=log, stderr=log
        ) as process,
    ):
        yield settings, process
        process.kill()


@pytest.mark.timeout(400)
async def test_what_one_clip_meets_ends_neither_the_worker_nor_another_clip(
    open_engine: OpenEngine, broken: tuple[Settings, subprocess.Popen[bytes]]
) -> None:
    settings, worker = broken
    engine = await open_engine(settings)
    job, _ = await engine.create(request(8, steps=2))
    begun, _ = await engine.create(request(10, steps=2))
    damaged, _ = await engine.create(request(1, steps=2, first=40))
    with engine.database.writing() as connection:
        connection.execute(sa.update(UPLOADS).where(UPLOADS.c.job == damaged.id).values(clip=b"\xff\xff"))
    for each in (job, begun, damaged):
        await ended(engine, each.id)
    assert worker.poll() is None

    clips = (await engine.clips(job_pb2.ListJobClipsRequest(id=job.id))).clips
    states = [job_pb2.ClipState.Name(clip.state).removeprefix("CLIP_STATE_") for clip in clips]
    assert states == ["FAILED"] * 2 + ["SUCCEEDED"] + ["FAILED"] * 5
    reasons = [clip.failure.reason for clip in clips]
    assert reasons[:2] == ["VALUES_NOT_FINITE"] * 2
    assert reasons[3:] == ["UNFORESEEN"] * 5
    assert "RuntimeError in the job worker" in clips[3].failure.message
    assert "\x1b" not in "".join(clip.failure.message for clip in clips)
    # Clip 8 could not be begun: it fails with all that waited then.
    last = (await engine.clips(job_pb2.ListJobClipsRequest(id=begun.id))).clips
    assert [clip.failure.reason for clip in last[8:]] == ["UNFORESEEN"] * 2
    (one,) = (await engine.clips(job_pb2.ListJobClipsRequest(id=damaged.id))).clips
    assert one.failure.reason == "UNFORESEEN"
    assert (await engine.get(damaged.id)).state == job_pb2.JOB_STATE_FAILED
