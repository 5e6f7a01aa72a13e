"""The order in which clips are computed: three bands, fair shares for tenants within a band, turns for jobs.

Each band is a queue of DBOS with places of its own at every worker, and each tenant a partition of it; DBOS takes from
the partitions in random order. Of one job at most AHEAD clips are in a queue; each clip that starts puts the job's
next one at the end. So jobs of one tenant take turns, a job of ten thousand clips holds up a job of one by a handful,
and accepting it costs no more.
"""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from actionlens.v1 import job_pb2
from service.jobs.store.counts import BANDS
from service.jobs.store.database import APPLICATION, Database
from service.jobs.store.prepared import Prepared
from service.jobs.store.tables import CLIPS
from service.settings import JobSettings

WORKFLOW = "clip"
"""The name of the workflow that computes one clip: clip(job, place, attempt)."""
AHEAD = 4


def queue_name(band: int) -> str:
    """DBOS's queue of a band."""
    return f"{APPLICATION}-{BANDS[band]}"


def register_queues(database: Database, settings: JobSettings) -> None:
    """Tell DBOS what the queues are like. Again at every start, since settings may have changed."""
    for band, name in BANDS.items():
        places = getattr(settings.slots, name) + settings.processes - 1
        database.client.register_queue(
            queue_name(band),
            worker_concurrency=places,
            # This is what makes DBOS keep partitions. One place is never a tenant's that has all the others: however
            # long its clips take, another tenant's begins beside them.
            partition_worker_concurrency=max(settings.processes, places - 1),
            polling_interval_sec=settings.poll_seconds,
        )


@dataclass(frozen=True, slots=True)
class Line:
    """Where the clips of one job queue."""

    job: str
    band: int
    tenant: str


def hand_over(database: Database, connection: sa.Connection, line: Line, count: int) -> None:
    """Put a job's next clips into its queue, within the caller's transaction."""
    waiting = (CLIPS.c.job == line.job, CLIPS.c.state == job_pb2.CLIP_STATE_QUEUED, CLIPS.c.handed == sa.false())
    chosen = connection.execute(
        sa.select(CLIPS.c.place, CLIPS.c.attempt).where(*waiting).order_by(CLIPS.c.place).limit(count)
    ).all()
    places = [place for place, _ in chosen]
    if places:
        connection.execute(
            sa.update(CLIPS).where(CLIPS.c.job == line.job, CLIPS.c.place.in_(places)).values(handed=True)
        )
    enqueue(database, connection, line, [(place, attempt) for place, attempt in chosen])


def enqueue(database: Database, connection: sa.Connection, line: Line, clips: Sequence[tuple[int, int]]) -> None:
    """Put clips, (place, attempt), into the queue that are marked as handed over."""
    if not clips:
        return
    rows = [
        {
            "workflow": workflow_id(line.job, place, attempt),
            "name": WORKFLOW,
            "queue": queue_name(line.band),
            "tenant": line.tenant,
            "creator": str(uuid.uuid4()),
            "application": APPLICATION,
            "inputs": json.dumps(
                {"namedArgs": {}, "positionalArgs": [line.job, place, attempt]}, separators=(",", ":")
            ),
        }
        for place, attempt in clips
    ]
    for statement in _enqueueing(database.dbos):
        statement.run(connection, rows)


@functools.cache
def _enqueueing(dbos: str) -> tuple[Prepared, Prepared]:
    """What DBOSClient.enqueue_in_transaction does for one clip, in a fifth of its time and for several at once; a test
    compares the rows. dbos: what stands before the names of its tables."""
    texts = (
        f"INSERT INTO {dbos}workflow_status (workflow_uuid, status, name, recovery_attempts, queue_name, priority, "
        "queue_partition_key, creator_xid, serialization, attributes, application_name) "
        "VALUES (:workflow, 'ENQUEUED', :name, 0, :queue, 0, :tenant, :creator, 'portable_json', 'null', :application)",
        f"INSERT INTO {dbos}workflow_input (workflow_uuid, inputs) VALUES (:workflow, :inputs)",
    )
    first, second = (Prepared(sa.text(f"{text} ON CONFLICT (workflow_uuid) DO NOTHING")) for text in texts)
    return first, second


def workflow_id(job: str, place: int, attempt: int) -> str:
    """What DBOS calls the computing of one clip. Ids of one job share the prefix "JOB."."""
    return f"{job}.{place}.{attempt}"
