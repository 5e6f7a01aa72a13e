"""What accepting a job leaves in the database."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import sqlalchemy as sa

from actionlens.v1 import job_pb2
from service.jobs.database import Database
from service.jobs.engine import DatabaseJobEngine
from service.jobs.queue import WORKFLOW, queue_name
from service.settings import Settings
from tests.jobs.workers import request

Open = Callable[[Settings], Coroutine[Any, Any, DatabaseJobEngine]]
# Drawn, or told by a clock.
_ITS_OWN = {"workflow_uuid", "creator_xid", "created_at", "updated_at", "retention_timestamp"}


def rows(database: Database, table: str) -> dict[str, dict[str, Any]]:
    """DBOS's rows of a table by workflow, without what differs from one to the next."""
    with database.reading() as connection:
        found = connection.execute(sa.text(f"SELECT * FROM {database.dbos}{table}")).mappings().all()
    assert all(row["workflow_uuid"] for row in found)
    return {row["workflow_uuid"]: {name: value for name, value in row.items() if name not in _ITS_OWN} for row in found}


async def test_clips_are_queued_as_dbos_itself_would_queue_them(either: Settings, open_engine: Open) -> None:
    engine = await open_engine(either)
    asked = request(6, tenant='it\'s 100 %: a "tenant"', priority=job_pb2.JOB_PRIORITY_HIGH)
    job, _ = await engine.create(asked)
    database = engine.database
    ours = {table: rows(database, table) for table in ("workflow_status", "workflow_input")}
    assert list(ours["workflow_status"]) == [f"{job.id}.{place}.1" for place in range(4)]
    database.client.delete_workflows([*ours["workflow_status"]])
    assert not rows(database, "workflow_status")
    for place in range(4):
        with database.writing() as connection:
            database.client.enqueue_in_transaction(
                connection,
                {
                    "workflow_name": WORKFLOW,
                    "workflow_id": f"{job.id}.{place}.1",
                    "queue_name": queue_name(job_pb2.JOB_PRIORITY_HIGH),
                    "queue_partition_key": job.tenant,
                },
                job.id,
                place,
                1,
            )
    assert ours == {table: rows(database, table) for table in ours}


async def test_the_answer_is_the_job_as_it_is_stored(either: Settings, open_engine: Open) -> None:
    engine = await open_engine(either)
    asked = request(2, request_id="once", seed=7)
    sent = job_pb2.CreateJobRequest.FromString(asked.SerializeToString())
    job, new = await engine.create(asked)
    assert new
    assert job == await engine.get(job.id)
    assert await engine.create(sent) == (job, False)
    assert (job.clips.queued, job.clips.total, job.seed, job.cancelling) == (2, 2, 7, False)
