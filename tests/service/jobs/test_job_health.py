"""Jobs are said to be available while their database is, and again when it is back; live answers go on meanwhile."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest

from actionlens.v1 import clip_pb2, job_pb2
from service.jobs import lifecycle
from service.jobs.backup import backup
from service.jobs.store.job_engine import DatabaseJobEngine
from service.jobs.store.sqlite_file import check
from service.rpc.job_servicer import JOB_SERVICE
from service.server import Server
from service.settings import BackendName, Settings
from tests.service.conftest import Serve, connect
from tests.service.jobs.commands import jobs_command
from tests.service.jobs.postgres import Postgres
from tests.service.jobs.test_database_outage import NOT_SERVING, SERVING, available, health_of, list_jobs
from tests.service.jobs.workers import Worker, begun, ended, request
from tests.service.requests import GRAD_CAM, clip_request, refusal
from tests.waiting import eventually, settled

pytestmark = pytest.mark.timeout(400)
OpenEngine = Callable[[Settings], Awaitable[DatabaseJobEngine]]
StartWorker = Callable[..., Worker]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(lifecycle, "_LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(lifecycle, "_LOOK_SECONDS", 0.05)


async def is_said(server: Server, able: bool) -> None:
    """Wait until health and the gauge say so; the service itself serves whatever they say."""
    await eventually(lambda: available(server) == able)
    while (await health_of(server, JOB_SERVICE) == SERVING) is not able:
        await settled()
    assert await health_of(server, JOB_SERVICE) == (SERVING if able else NOT_SERVING)
    assert await health_of(server, "") == SERVING


async def reason_of(server: Server) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await list_jobs(server)
    found = refusal(caught.value)
    assert found.code == grpc.StatusCode.UNAVAILABLE
    assert found.retry
    return found.reason


async def test_a_file_that_is_taken_away_and_brought_back(serve: Serve, tmp_path: Path) -> None:
    path, away = tmp_path / "jobs.sqlite", tmp_path / "away"
    async with serve(jobs={"workers": 1}, backend=BackendName.IN_PROCESS) as server:
        assert server.jobs is not None
        await is_said(server, True)
        job, _ = await server.jobs.engine.create(request(1, model="unknown"))
        path.rename(away)
        await is_said(server, False)
        assert await reason_of(server) == "JOB_DATABASE_GONE"
        async with connect(server) as stub:
            assert (await stub.ExplainClip(clip_request(GRAD_CAM))).answer.explanations
        # Neither the service nor its worker puts an empty one in its place.
        assert not path.exists()
        away.rename(path)
        await is_said(server, True)
        assert [found.id for found in (await list_jobs(server)).jobs] == [job.id]


async def test_a_file_that_is_damaged_and_restored(serve: Serve, tmp_path: Path) -> None:
    path, copy = tmp_path / "jobs.sqlite", tmp_path / "copy"
    async with serve(jobs={"workers": 0}) as server:
        assert server.jobs is not None
        job, _ = await server.jobs.engine.create(request(1))
        backup(server.settings, copy)
        engine = server.jobs.engine.database.engine
        with engine.connect() as connection:  # or SQLite would mend the file from its log of changes
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.write(b"\x55" * path.stat().st_size)
        # What is in memory is still whole; a new connection reads the file.
        engine.dispose()
        await is_said(server, False)
        assert await reason_of(server) == "JOB_DATABASE_DAMAGED"
        code, said = await jobs_command(tmp_path, "restore", str(copy), "--replace")
        assert code == 0, said
        await is_said(server, True)
        assert [found.id for found in (await list_jobs(server)).jobs] == [job.id]


async def test_a_file_that_is_damaged_at_the_start(serve: Serve, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    engine = DatabaseJobEngine(settings)
    await engine.start()
    await engine.create(request(50))
    await engine.stop()
    size = path.stat().st_size
    with path.open("r+b") as file:  # the header and the list of tables are whole: it opens
        file.seek(size // 2)
        file.write(b"\x55" * (size // 4))
    async with serve(jobs={"workers": 0}) as server:
        assert server.jobs is not None
        await is_said(server, False)
        assert await reason_of(server) == "JOB_DATABASE_DAMAGED"
        assert server.jobs.engine.trouble is not None
        assert "actionlens jobs restore" in server.jobs.engine.trouble.message
        async with connect(server) as stub:
            assert (await stub.ExplainClip(clip_request(GRAD_CAM))).answer.explanations
        path.rename(tmp_path / "away")
        await is_said(server, True)


async def test_the_check_at_the_start_is_bounded(settings: Settings, tmp_path: Path) -> None:
    engine = DatabaseJobEngine(settings)
    await engine.start()
    await engine.create(request(500))
    await engine.stop()
    assert check(tmp_path / "jobs.sqlite")
    assert not check(tmp_path / "jobs.sqlite", -1.0)


async def test_postgresql_that_goes_away_after_the_start(serve: Serve, postgres: Postgres) -> None:
    async with serve(jobs={"workers": 0, "db": postgres.url}) as server:
        await is_said(server, True)
        await asyncio.to_thread(postgres.stop)
        try:
            await is_said(server, False)
            assert await reason_of(server) == "JOB_DATABASE_UNAVAILABLE"
        finally:
            await asyncio.to_thread(postgres.start)
        await is_said(server, True)


async def test_artefacts_that_are_deleted_fail_their_clips_alone(
    either: Settings, tmp_path: Path, open_engine: OpenEngine, start_worker: StartWorker
) -> None:
    engine = await open_engine(either)
    raw = clip_pb2.RawFrames(data=bytes(6 * 128 * 128 * 3), count=6, height=128, width=128)
    upload = job_pb2.JobClip(name="large", clip=clip_pb2.Clip(raw=raw))
    waiting, _ = await engine.create(request(1, steps=2, clips=[upload]))
    job, _ = await engine.create(request(1, steps=1000, priority=job_pb2.JOB_PRIORITY_HIGH))
    shutil.rmtree(tmp_path / "artefacts" / waiting.id)
    worker = start_worker(either)
    await begun(engine, job.id, 2)
    while not (await engine.get(job.id)).HasField("ended"):
        # Until it hits between the end of one block and the next, which reads what the one has written.
        shutil.rmtree(tmp_path / "artefacts", ignore_errors=True)
    for each in (waiting, job):
        assert (await ended(engine, each.id)).state == job_pb2.JOB_STATE_FAILED
        (found,) = (await engine.clips(job_pb2.ListJobClipsRequest(id=each.id))).clips
        assert found.failure.reason == "ARTEFACT_GONE"
        assert "is no longer stored" in found.failure.message
    after, _ = await engine.create(request(1, steps=2, first=5))
    assert (await ended(engine, after.id)).state == job_pb2.JOB_STATE_SUCCEEDED
    assert worker.stop() == 0
