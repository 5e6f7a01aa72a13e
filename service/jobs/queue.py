"""The order in which clips are computed: three bands, fair shares for tenants within a band, turns for jobs.

Each band is a queue of DBOS with places of its own at every worker, and each tenant a partition of it; DBOS takes from
the partitions in random order. Of one job at most AHEAD clips are in a queue; each clip that starts puts the job's
next one at the end. So jobs of one tenant take turns, a job of ten thousand clips holds up a job of one by a handful,
and accepting it costs no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from actionlens.v1 import job_pb2
from service.jobs.counts import BANDS
from service.jobs.database import APPLICATION, Database
from service.jobs.tables import CLIPS
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
        places = getattr(settings.slots, name)
        database.client.register_queue(
            queue_name(band),
            worker_concurrency=places,
            # This is what makes DBOS keep partitions; one tenant alone may have all places.
            partition_worker_concurrency=places,
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
    for place, attempt in clips:
        database.client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": WORKFLOW,
                "workflow_id": workflow_id(line.job, place, attempt),
                "queue_name": queue_name(line.band),
                "queue_partition_key": line.tenant,
            },
            line.job,
            place,
            attempt,
        )


def workflow_id(job: str, place: int, attempt: int) -> str:
    """What DBOS calls the computing of one clip. Ids of one job share the prefix "JOB."."""
    return f"{job}.{place}.{attempt}"
