"""Whatever is killed, frozen or full: nothing is lost, nothing is done twice, and at most one block is repeated."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from actionlens.v1 import job_pb2
from service.jobs.store.job_engine import DatabaseJobEngine
from service.jobs.store.tables import CLIPS
from service.jobs.worker.context import CRASHED
from service.settings import Settings
from tests.service.jobs.postgres import Postgres
from tests.service.jobs.workers import (
    Worker,
    begun,
    completions,
    computed,
    ended,
    job_settings,
    recorded,
    request,
    results,
)
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(400)

OpenEngine = Callable[[Settings], Awaitable[DatabaseJobEngine]]
StartWorker = Callable[..., Worker]


async def whole(engine: DatabaseJobEngine, clips: int, repeated: int) -> None:
    """All clips are done, once each, and at most so many blocks were computed again."""
    # DBOS notes the end of a workflow after we have.
    await eventually(lambda: sum(completions(engine.database).values()) >= clips)
    # One that was killed between the end of a clip and the end of its workflow finds the clip done.
    assert set(completions(engine.database)) <= {"succeeded", "dropped"}
    assert sum(completions(engine.database).values()) == clips
    assert len(set(results(engine.database))) == clips
    assert 0 <= computed(engine.database) - recorded(engine.database) <= repeated


async def test_killed_workers_lose_nothing(
    either: Settings, open_engine: OpenEngine, start_worker: StartWorker
) -> None:
    engine = await open_engine(either)
    jobs = [(await engine.create(request(5, first=5 * n, tenant=f"t{n}")))[0] for n in range(4)]
    workers = [start_worker(either) for _ in range(1 if engine.database.sqlite else 2)]
    kills = 2
    for _ in range(kills):
        await begun(engine, jobs[0].id, 3)
        workers.pop(0).kill()
        workers.append(start_worker(either))
    for job in jobs:
        assert (await ended(engine, job.id)).state == job_pb2.JOB_STATE_SUCCEEDED
    await whole(engine, 20, kills)
    alone, _ = await engine.create(request(1))
    await ended(engine, alone.id)
    interrupted, undisturbed = await engine.result(jobs[0].id, 0), await engine.result(alone.id, 0)
    assert interrupted.explanations[0].saliency == undisturbed.explanations[0].saliency


async def test_a_frozen_worker_loses_its_clips_and_changes_nothing_when_it_wakes(
    either: Settings, open_engine: OpenEngine, start_worker: StartWorker
) -> None:
    engine = await open_engine(either)
    job, _ = await engine.create(request(4, steps=12))
    frozen = start_worker(either)
    await begun(engine, job.id, 3)
    await freeze(frozen, engine)
    start_worker(either)
    assert (await ended(engine, job.id)).state == job_pb2.JOB_STATE_SUCCEEDED
    frozen.send(signal.SIGCONT)
    assert await asyncio.to_thread(frozen.wait) == CRASHED
    assert "taken for dead" in frozen.logged
    # A block that it had in work may have been noted before it was frozen.
    await whole(engine, 4, 2)


async def test_postgresql_goes_away_and_comes_back(
    postgres: Postgres, tmp_path: Path, store: Path, open_engine: OpenEngine, start_worker: StartWorker
) -> None:
    settings = job_settings(tmp_path, store, postgres.url, lease_seconds=30)
    engine = await open_engine(settings)
    job, _ = await engine.create(request(6))
    workers = [start_worker(settings) for _ in range(2)]
    await begun(engine, job.id, 3)
    await asyncio.to_thread(postgres.stop)
    for worker in workers:
        await asyncio.to_thread(worker.wait_for, "the job database does not answer")
    await asyncio.to_thread(postgres.start)
    assert (await ended(engine, job.id)).state == job_pb2.JOB_STATE_SUCCEEDED
    # The blocks that each had in work could not be put on record at once, but were in the end.
    await whole(engine, 6, 0)


async def test_a_clip_that_kills_its_worker_fails_alone(
    tmp_path: Path, store: Path, open_engine: OpenEngine, start_worker: StartWorker
) -> None:
    # Long blocks, so that a kill always comes before the end of one.
    settings = job_settings(tmp_path, store, block_seconds=2.0, attempts=3)
    engine = await open_engine(settings)
    poison, _ = await engine.create(request(1, steps=1000, tenant="p", priority=job_pb2.JOB_PRIORITY_HIGH))
    others = [(await engine.create(request(2, first=n, tenant=f"t{n}")))[0] for n in range(3)]
    tries = sa.select(CLIPS.c.tries).where(CLIPS.c.job == poison.id)
    killed = 0
    worker = start_worker(settings)
    async with asyncio.timeout(300):
        while not (await engine.get(poison.id)).HasField("ended"):
            with engine.database.reading() as connection:
                times = connection.scalar(tries) or 0
            if killed < times <= settings.jobs.attempts:
                # As the kernel does when a clip takes all memory.
                worker.kill()
                killed += 1
                worker = start_worker(settings)
            await asyncio.sleep(0.001)
    assert killed == settings.jobs.attempts
    clips = (await engine.clips(job_pb2.ListJobClipsRequest(id=poison.id))).clips
    assert clips[0].state == job_pb2.CLIP_STATE_FAILED
    assert clips[0].failure.reason == "WORKER_DIED"
    for job in others:
        assert (await ended(engine, job.id)).state == job_pb2.JOB_STATE_SUCCEEDED


async def test_an_upgrade_goes_on_with_what_the_old_release_began(
    settings: Settings, open_engine: OpenEngine, start_worker: StartWorker
) -> None:
    engine = await open_engine(settings)
    job, _ = await engine.create(request(3))
    old = start_worker(settings, "old")
    await begun(engine, job.id, 3)
    assert old.stop() == 0
    before = recorded(engine.database)
    assert before > 0
    start_worker(settings, "new")
    assert (await ended(engine, job.id)).state == job_pb2.JOB_STATE_SUCCEEDED
    await whole(engine, 3, 0)


async def test_a_full_disk_stops_the_work_until_there_is_room(
    settings: Settings, small_disk: Path, open_engine: OpenEngine, start_worker: StartWorker
) -> None:
    jobs = settings.jobs.model_copy(update={"artefacts": str(small_disk / "artefacts")})
    settings = settings.model_copy(update={"jobs": jobs})
    engine = await open_engine(settings)
    job, _ = await engine.create(request(2))
    ballast = small_disk / "ballast"
    worker = start_worker(settings)
    await begun(engine, job.id, 2)
    fill(ballast)
    await asyncio.to_thread(worker.wait_for, "the disk of the artefacts is full")
    with pytest.raises(Exception, match="the disk of the artefacts is full"):
        await engine.create(request(100, first=7))
    assert (await engine.get(job.id)).state == job_pb2.JOB_STATE_RUNNING
    ballast.unlink()
    assert (await ended(engine, job.id)).state == job_pb2.JOB_STATE_SUCCEEDED
    assert not list((small_disk / "artefacts").rglob("*.part"))
    assert len((await engine.list(job_pb2.ListJobsRequest())).jobs) == 1


async def freeze(worker: Worker, engine: DatabaseJobEngine) -> None:
    """Stop a worker, but not in the middle of a transaction, where it would keep SQLite's only lock."""
    while True:
        worker.freeze()
        try:
            with engine.database.engine.connect() as connection:
                if engine.database.sqlite:
                    connection.exec_driver_sql("PRAGMA busy_timeout=100")
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                return
        except OperationalError:
            worker.send(signal.SIGCONT)
            await asyncio.sleep(0.05)
        finally:
            engine.database.engine.dispose()


def fill(path: Path) -> None:
    """Write until nothing goes in any more."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1024)) == 1024:
            pass
