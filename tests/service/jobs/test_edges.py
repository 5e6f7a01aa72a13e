"""Requests at a bad moment, with a bad path or in too great a number, without a worker."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actionlens.v1 import answer_pb2, job_pb2
from service.concurrency.thread_pool import Pool
from service.decoding.process.decoder import InProcessDecoder
from service.errors import FailedPrecondition, NotFound, ResourceExhausted
from service.jobs.downloads import make_download
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.job_engine import DatabaseJobEngine
from service.jobs.store.retention import expire, sweep
from service.jobs.store.transitions import ClipKey, begin, finish
from service.settings import Settings
from tests.service.backends.requests import TINY
from tests.service.jobs.workers import clip, job_settings, request
from tests.waiting import PATIENCE

SAMPLE = Path(__file__).resolve().parents[3] / "model_store/motion-primitives/sample.mp4"


@pytest.fixture
def settings(tmp_path: Path, store: Path) -> Settings:
    (tmp_path / "inputs").mkdir()
    return job_settings(tmp_path, store, input_root=tmp_path / "inputs", max_queued=8, max_queued_per_tenant=5)


@pytest.fixture
async def idle(settings: Settings) -> AsyncIterator[DatabaseJobEngine]:
    engine = DatabaseJobEngine(settings)
    await engine.start()
    yield engine
    await engine.stop()


async def test_no_tenant_keeps_the_others_out(idle: DatabaseJobEngine) -> None:
    await idle.create(request(4, tenant="greedy"))
    with pytest.raises(ResourceExhausted, match="4 of tenant 'greedy' wait already, 2 more are over the limit of 5"):
        await idle.create(request(2, tenant="greedy"))
    _, new = await idle.create(request(4, tenant="modest"))
    assert new
    with pytest.raises(ResourceExhausted, match="8 wait already, 1 more are over the limit of 8"):
        await idle.create(request(1, tenant="third"))


async def test_pictures_of_a_clip_that_has_left_the_input_root_are_refused(
    idle: DatabaseJobEngine, settings: Settings
) -> None:
    path = settings.data / "inputs" / "moved.mp4"
    path.write_bytes(SAMPLE.read_bytes())
    sent = request(1)
    sent.clips[0].path = path.name
    job, _ = await idle.create(sent)
    key = ClipKey(job.id, 0, 1)
    assert begin(idle.database, key)
    stored = Artefacts(settings).write(job.id, "result-0", answer_pb2.Answer(model=TINY).SerializeToString())
    assert finish(idle.database, key, job_pb2.CLIP_STATE_SUCCEEDED, result=stored)
    path.unlink()
    path.symlink_to(SAMPLE)
    pool = Pool(1, "pictures")
    asked_for = job_pb2.DownloadResultRequest(id=job.id, format=job_pb2.RESULT_FORMAT_PNG)
    with pytest.raises(NotFound, match="leaves the input root") as caught:
        await make_download(idle, pool, asked_for, InProcessDecoder(settings))
    pool.close()
    assert (caught.value.field, caught.value.reason) == ("clip", "SOURCE_GONE")


async def test_a_job_that_is_retried_while_it_expires_keeps_its_uploads(
    idle: DatabaseJobEngine, settings: Settings
) -> None:
    job, _ = await idle.create(request(1, first=7))
    await idle.cancel(job.id)
    await idle.retry(job.id)
    expire(idle.database, Artefacts(settings), job.id)
    assert await idle.source(job.id, 0) == clip(7)
    with pytest.raises(FailedPrecondition, match="has not ended"):
        await idle.delete(job.id)
    await idle.cancel(job.id)
    await idle.delete(job.id)


async def test_what_a_crash_left_half_written_is_swept(idle: DatabaseJobEngine, settings: Settings) -> None:
    job, _ = await idle.create(request(1))
    await idle.cancel(job.id)
    blobs = Artefacts(settings)
    result, state = blobs.write(job.id, "result-0", b"kept"), blobs.write(job.id, "state-0-1", b"done with")
    (settings.data / "artefacts" / f"{result}.1-2.part").write_bytes(b"ke")
    sweep(idle.database, blobs)
    assert state in blobs.ages(job.id), "young ones may belong to a block that is being recorded"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.jobs.store.retention._ORPHAN_SECONDS", -1.0)
        sweep(idle.database, blobs)
    assert list(blobs.ages(job.id)) == [result]
    await idle.delete(job.id)


async def test_a_pipe_is_no_clip_and_holds_up_nobody(idle: DatabaseJobEngine, settings: Settings) -> None:
    os.mkfifo(settings.data / "inputs" / "pipe")
    (settings.data / "inputs" / "folder").mkdir()
    sent = request(1)
    del sent.clips[:]
    sent.clips.extend(job_pb2.JobClip(name=path, path=path) for path in ("pipe", "folder"))
    job, _ = await idle.create(sent)
    for index in range(2):
        with pytest.raises(NotFound, match="no regular file"):
            await asyncio.wait_for(idle.source(job.id, index), PATIENCE)
    await idle.cancel(job.id)
