"""Cancels, retries, deletes and watches jobs, for clients."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa

from actionlens.v1 import job_pb2
from service.errors import FailedPrecondition
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.database import Database
from service.jobs.store.queries import ENDED, unknown_job
from service.jobs.store.queue import AHEAD, Line, hand_over
from service.jobs.store.retention import forget
from service.jobs.store.tables import CLIPS, JOBS, OBJECTIVES
from service.jobs.store.transitions import end_job, move_all

_WATCH_SECONDS = 10.0


def cancel(database: Database, job: str) -> None:
    """End clips that wait at once, and those that run after their block. Raises NotFound."""
    with database.writing() as connection:
        row = _row(connection, job)
        if row.state in ENDED:
            return
        connection.execute(sa.update(JOBS).where(JOBS.c.id == job).values(cancelling=True))
        move_all(connection, job, (job_pb2.CLIP_STATE_QUEUED,), job_pb2.CLIP_STATE_CANCELLED)
        end_job(connection, job)


def retry(database: Database, job: str) -> None:
    """Queue failed and cancelled clips again. Raises NotFound, FailedPrecondition."""
    failed = (job_pb2.CLIP_STATE_FAILED, job_pb2.CLIP_STATE_CANCELLED)
    with database.writing() as connection:
        row = _row(connection, job)
        if row.state not in ENDED:
            raise FailedPrecondition(
                f"id: job {job} has not ended; cancel it or wait", field="id", reason="JOB_NOT_ENDED"
            )
        if row.expired:
            raise FailedPrecondition(
                f"id: what job {job} stored has expired; submit it again", field="id", reason="EXPIRED"
            )
        again = sa.select(CLIPS.c.place).where(CLIPS.c.job == job, CLIPS.c.state.in_(failed))
        connection.execute(sa.delete(OBJECTIVES).where(OBJECTIVES.c.job == job, OBJECTIVES.c.place.in_(again)))
        moved = move_all(
            connection,
            job,
            failed,
            job_pb2.CLIP_STATE_QUEUED,
            attempt=CLIPS.c.attempt + 1,
            handed=False,
            tries=0,
            failure=None,
            iteration=0,
            iterations=0,
            remaining=None,
            objective=None,
            seconds=0.0,
        )
        if not moved:
            raise FailedPrecondition(
                f"id: job {job} has no failed or cancelled clips", field="id", reason="NOTHING_TO_RETRY"
            )
        connection.execute(sa.update(JOBS).where(JOBS.c.id == job).values(state=job_pb2.JOB_STATE_QUEUED, ended=None))
        hand_over(database, connection, Line(job, row.band, row.tenant), AHEAD)


def delete(database: Database, artefacts: Artefacts, job: str) -> None:
    """Remove an ended job. Raises NotFound, FailedPrecondition."""
    # Rows first: artefacts that are left after a crash are swept.
    if forget(database, job):
        artefacts.remove_job(job)
        return
    with database.reading() as connection:
        _row(connection, job)
    raise FailedPrecondition(f"id: job {job} has not ended; cancel it first", field="id", reason="JOB_NOT_ENDED")


def want_partial(database: Database, job: str) -> None:
    """Have the next blocks of a job store the explanation so far."""
    now = time.time()
    wanted = sa.and_(JOBS.c.id == job, JOBS.c.watched < now + _WATCH_SECONDS / 2, JOBS.c.ended.is_(None))
    with database.reading() as connection:
        if not connection.scalar(sa.select(sa.exists().where(wanted))):
            return
    with database.writing() as connection:
        connection.execute(sa.update(JOBS).where(wanted).values(watched=now + _WATCH_SECONDS))


def _row(connection: sa.Connection, job: str) -> sa.Row[Any]:
    row = connection.execute(sa.select(JOBS).where(JOBS.c.id == job)).one_or_none()
    if row is None:
        raise unknown_job(job)
    return row
