"""A copy is made while jobs go on, and brought back with nobody around; nothing is ever overwritten."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from actionlens.v1 import job_pb2
from service.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from service.jobs.backup import backup, restore
from service.jobs.store.job_engine import DatabaseJobEngine
from service.settings import JobSettings, Settings
from tests.service.jobs.commands import jobs_command
from tests.service.jobs.workers import Worker, begun, ended, job_settings, request

OpenEngine = Callable[[Settings], Awaitable[DatabaseJobEngine]]
StartWorker = Callable[..., Worker]


@pytest.mark.timeout(400)
async def test_a_copy_made_in_the_middle_of_the_work_goes_on_elsewhere(
    settings: Settings, store: Path, tmp_path: Path, open_engine: OpenEngine, start_worker: StartWorker
) -> None:
    engine = await open_engine(settings)
    done, _ = await engine.create(request(1, steps=2))
    worker = start_worker(settings)
    await ended(engine, done.id)
    job, _ = await engine.create(request(3, steps=50))
    await begun(engine, job.id, 2)
    worker.freeze()
    # As one who copies while it is in use: artefacts, then rows.
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "artefacts", elsewhere / "artefacts")
    code, said = await jobs_command(tmp_path, "backup", str(tmp_path / "copy"))
    assert code == 0, said
    assert "2 jobs, 3 clips still to be computed" in said
    assert str(tmp_path / "artefacts") in said
    worker.kill()
    code, said = await jobs_command(tmp_path, "backup", str(tmp_path / "copy"))
    assert (code, "is there already" in said) == (1, True), said

    code, said = await jobs_command(elsewhere, "restore", str(tmp_path / "copy"))
    assert code == 0, said
    assert "2 jobs, 3 clips still to be computed" in said
    assert "not there" not in said
    there = job_settings(elsewhere, store)
    again = await open_engine(there)
    start_worker(there)
    assert (await ended(again, job.id)).state == job_pb2.JOB_STATE_SUCCEEDED
    assert (await again.result(done.id, 0)).explanations


async def test_a_database_that_is_in_use_or_there_is_not_replaced(
    settings: Settings, tmp_path: Path, open_engine: OpenEngine
) -> None:
    engine = await open_engine(settings)
    kept, _ = await engine.create(request(1))
    copy = tmp_path / "copy"
    assert backup(settings, copy).jobs == 1
    late, _ = await engine.create(request(1, first=3))
    code, said = await jobs_command(tmp_path, "restore", str(copy), "--replace")
    assert (code, "a service or a job worker has it open; stop them first" in said) == (1, True), said
    await engine.stop()

    with pytest.raises(AlreadyExists, match="--replace moves it aside"):
        restore(settings, copy)
    (tmp_path / "jobs.sqlite-wal").write_bytes(b"of the old one")
    found = restore(settings, copy, replace=True)
    assert found.moved is not None
    assert not (tmp_path / "jobs.sqlite-wal").exists()
    engine = await open_engine(settings)
    assert [job.id for job in (await engine.list(job_pb2.ListJobsRequest())).jobs] == [kept.id]
    assert copy.exists()
    with sqlite3.connect(found.moved) as old:
        assert {name for (name,) in old.execute("SELECT id FROM jobs")} == {kept.id, late.id}


async def test_missing_results_are_counted(
    settings: Settings, tmp_path: Path, open_engine: OpenEngine, start_worker: StartWorker
) -> None:
    engine = await open_engine(settings)
    job, _ = await engine.create(request(2, steps=2))
    worker = start_worker(settings)
    await ended(engine, job.id)
    worker.kill()
    await engine.stop()
    backup(settings, tmp_path / "copy")
    shutil.rmtree(tmp_path / "artefacts")
    assert restore(settings, tmp_path / "copy", replace=True).missing == 2


def test_what_is_no_copy_is_refused(settings: Settings, tmp_path: Path) -> None:
    for name, content in (("text", b"no database at all " * 500), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidArgument, match=r"no sound copy|no copy that"):
            restore(settings, tmp_path / name)
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("CREATE TABLE jobs (id TEXT)")
    with pytest.raises(InvalidArgument, match="is no copy that `actionlens jobs backup` made"):
        restore(settings, tmp_path / "other")
    assert not (tmp_path / "jobs.sqlite").exists()


def test_postgresql_has_tools_of_its_own(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, jobs=JobSettings(db="postgresql://user:secret@host/jobs"))
    with pytest.raises(FailedPrecondition, match="pg_dump copies it") as caught:
        backup(settings, tmp_path / "copy")
    assert "secret" not in caught.value.message
