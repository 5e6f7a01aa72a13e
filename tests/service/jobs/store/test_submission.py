"""The rows that accepting a job leaves in the database, and how clients see its rows."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import sqlalchemy as sa

from actionlens.v1 import explanation_pb2, job_pb2
from service.jobs.store.database import Database
from service.jobs.store.job_engine import DatabaseJobEngine
from service.jobs.store.queries import progress
from service.jobs.store.queue import WORKFLOW, queue_name
from service.jobs.store.transitions import Advance, ClipKey, advance, begin, finish
from service.settings import Settings
from tests.service.jobs.workers import request

Open = Callable[[Settings], Coroutine[Any, Any, DatabaseJobEngine]]
# Drawn, or read from a clock.
_ITS_OWN = {"workflow_uuid", "creator_xid", "created_at", "updated_at", "retention_timestamp"}


def rows(database: Database, table: str) -> dict[str, dict[str, Any]]:
    """DBOS's rows of a table by workflow, without what differs from one to the next."""
    with database.reading() as connection:
        found = connection.execute(sa.text(f"SELECT * FROM {database.dbos}{table}")).mappings().all()
    assert all(row["workflow_uuid"] for row in found)
    return {row["workflow_uuid"]: {name: value for name, value in row.items() if name not in _ITS_OWN} for row in found}


async def test_clips_are_queued_as_dbos_itself_would_queue_them(either: Settings, open_engine: Open) -> None:
    engine = await open_engine(either)
    sent = request(6, tenant='it\'s 100 %: a "tenant"', priority=job_pb2.JOB_PRIORITY_HIGH)
    job, _ = await engine.create(sent)
    database = engine.database
    ours = {table: rows(database, table) for table in ("workflow_status", "workflow_input")}
    assert list(ours["workflow_status"]) == [f"{job.id}.{index}.1" for index in range(4)]
    database.client.delete_workflows([*ours["workflow_status"]])
    assert not rows(database, "workflow_status")
    for index in range(4):
        with database.writing() as connection:
            database.client.enqueue_in_transaction(
                connection,
                {
                    "workflow_name": WORKFLOW,
                    "workflow_id": f"{job.id}.{index}.1",
                    "queue_name": queue_name(job_pb2.JOB_PRIORITY_HIGH),
                    "queue_partition_key": job.tenant,
                },
                job.id,
                index,
                1,
            )
    assert ours == {table: rows(database, table) for table in ours}
    # And as every release so far has: jobs in flight survive an upgrade, and a downgrade.
    first = f"{job.id}.0.1"
    inputs = f'{{"namedArgs":{{}},"positionalArgs":["{job.id}",0,1]}}'
    assert ours["workflow_input"][first] == {"inputs": inputs}
    assert {name: value for name, value in ours["workflow_status"][first].items() if value} == {
        "status": "ENQUEUED",
        "name": "clip",
        "queue_name": "actionlens-high",
        "queue_partition_key": job.tenant,
        "serialization": "portable_json",
        "application_name": "actionlens",
        **({"attributes": "null"} if database.sqlite else {}),
    }


async def test_a_deleted_job_leaves_nothing_at_dbos_and_takes_nothing_of_another(
    either: Settings, open_engine: Open
) -> None:
    engine = await open_engine(either)
    (gone, _), (kept, _) = [await engine.create(request(6)) for _ in range(2)]
    await engine.cancel(gone.id)
    await engine.delete(gone.id)
    for table in ("workflow_status", "workflow_input"):
        assert list(rows(engine.database, table)) == [f"{kept.id}.{index}.1" for index in range(4)]


async def test_the_answer_is_the_job_as_it_is_stored(either: Settings, open_engine: Open) -> None:
    engine = await open_engine(either)
    first = request(2, request_id="once", seed=7)
    again = job_pb2.CreateJobRequest.FromString(first.SerializeToString())
    job, new = await engine.create(first)
    assert new
    assert job == await engine.get(job.id)
    assert await engine.create(again) == (job, False)
    assert (job.clips.queued, job.clips.total, job.seed, job.cancelling) == (2, 2, 7, False)


async def test_a_failed_job_says_why_its_first_clip_failed(either: Settings, open_engine: Open) -> None:
    engine = await open_engine(either)
    job, _ = await engine.create(request(2))
    good, _ = await engine.create(request(2))

    def end(which: job_pb2.Job, index: int, why: str) -> None:
        clip = ClipKey(which.id, index, 1)
        assert begin(engine.database, clip)
        failure = explanation_pb2.Failure(message=why) if why else None
        state = job_pb2.CLIP_STATE_FAILED if why else job_pb2.CLIP_STATE_SUCCEEDED
        assert finish(engine.database, clip, state, failure=failure, result=None if why else "job/result-0-00")

    end(job, 1, "the second is broken")
    assert not (await engine.get(job.id)).HasField("failure")
    end(job, 0, "the first is broken")
    end(good, 0, "the first is broken")
    end(good, 1, "")
    seen = await engine.get(job.id)
    assert (seen.state, seen.failure.message) == (job_pb2.JOB_STATE_FAILED, "the first is broken")
    partial = await engine.get(good.id)
    assert partial.state == job_pb2.JOB_STATE_PARTIAL
    assert not partial.HasField("failure")
    assert list((await engine.list(job_pb2.ListJobsRequest())).jobs) == [partial, seen]
    assert [update.job async for update in engine.watch(job_pb2.WatchJobRequest(id=job.id))] == [seen]
    assert not (await engine.retry(job.id)).HasField("failure")


async def test_what_is_watched_is_all_of_one_clip(settings: Settings, open_engine: Open) -> None:
    engine = await open_engine(settings)
    job, _ = await engine.create(request(2))
    keys = [ClipKey(job.id, number, 1) for number in range(2)]
    for key, objective, partial in ((keys[0], 0.25, None), (keys[1], 0.75, "job/partial-1-1-00")):
        assert begin(engine.database, key)
        advance(engine.database, key, Advance(1, 8, objective, 2.0, 1.0, partial))
    seen, partial = progress(engine.database, settings.jobs, job.id)
    assert [clip.index for clip in seen.running] == [0, 1]
    assert (list(seen.objective.y), partial) == ([0.25], "")
    assert finish(engine.database, keys[0], job_pb2.CLIP_STATE_FAILED)
    seen, partial = progress(engine.database, settings.jobs, job.id)
    assert (list(seen.objective.y), partial) == ([0.75], "job/partial-1-1-00")
