"""Queues clips in the order of computing: three bands, fair shares for tenants within a band, jobs of a tenant in turn.

Each band is a queue of DBOS with slots of its own at every worker, and each tenant a partition of it; DBOS takes from
the partitions in random order. Of one job at most AHEAD clips are in a queue; each clip that starts puts the job's
next one at the end. So jobs of one tenant take turns, a job of ten thousand clips holds up a job of one by a handful,
and accepting it costs no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from actionlens.v1 import job_pb2
from service.jobs.store.counts import BANDS
from service.jobs.store.database import APPLICATION, Database
from service.jobs.store.tables import CLIPS
from service.settings import JobSettings

WORKFLOW = "clip"
"""The name of the workflow that computes one clip: clip(job, clip_index, attempt)."""
AHEAD = 4


def queue_name(band: int) -> str:
    """DBOS's queue of a band."""
    return f"{APPLICATION}-{BANDS[band]}"


def register_queues(database: Database, settings: JobSettings) -> None:
    """Register the queues with DBOS. Again at every start, since settings may have changed."""
    for band, name in BANDS.items():
        slots = getattr(settings.slots, name) + settings.processes - 1
        database.client.register_queue(
            queue_name(band),
            worker_concurrency=slots,
            # This is what makes DBOS keep partitions. One slot is never a tenant's that has all the others: however
            # long its clips take, another tenant's begins beside them.
            partition_worker_concurrency=max(settings.processes, slots - 1),
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
    indices = [clip_index for clip_index, _ in chosen]
    if indices:
        connection.execute(
            sa.update(CLIPS).where(CLIPS.c.job == line.job, CLIPS.c.place.in_(indices)).values(handed=True)
        )
    enqueue(database, connection, line, [(clip_index, attempt) for clip_index, attempt in chosen])


def enqueue(database: Database, connection: sa.Connection, line: Line, clips: Sequence[tuple[int, int]]) -> None:
    """Put clips, (clip_index, attempt), into the queue that are marked as handed over."""
    for clip_index, attempt in clips:
        database.client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": WORKFLOW,
                "workflow_id": workflow_id(line.job, clip_index, attempt),
                "queue_name": queue_name(line.band),
                "queue_partition_key": line.tenant,
            },
            line.job,
            clip_index,
            attempt,
        )


def workflow_id(job: str, clip_index: int, attempt: int) -> str:
    """The id that DBOS has for the computing of one clip. Ids of one job share the prefix "JOB."."""
    return f"{job}.{clip_index}.{attempt}"
