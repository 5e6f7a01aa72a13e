"""Removes results that are too old or too many, and artefacts that belong to nothing."""

from __future__ import annotations

import time

import sqlalchemy as sa

from service.jobs.store.artefacts import PART, Artefacts
from service.jobs.store.database import Database
from service.jobs.store.tables import JOBS, TRUTHS, UPLOADS
from service.settings import JobSettings
from service.telemetry.log import get_logger

_DAY = 86_400.0
# A job without results stays in the lists for so many times its retention, so that its end can still be seen.
_KEPT_TIMES = 2
# Younger artefacts may belong to a job that is being accepted, or to a block that is being recorded.
_ORPHAN_SECONDS = 3600.0
_BATCH = 100


def tidy(database: Database, artefacts: Artefacts, settings: JobSettings) -> None:
    """Remove results that are too old or too many. Several workers may do it at once. Raises SQLAlchemyError."""
    now = time.time()
    for job in _too_old(database, now - settings.retention_days * _DAY) + _too_many(database, settings.retention_bytes):
        expire(database, artefacts, job)
    _forget(database, artefacts, now - _KEPT_TIMES * settings.retention_days * _DAY)


def sweep(database: Database, artefacts: Artefacts) -> None:
    """Remove the artefacts of jobs that do not exist, and those that crashes left in ended ones. Reads all names."""
    old = [job for job, age in artefacts.jobs() if age > _ORPHAN_SECONDS]
    for begin in range(0, len(old), _BATCH):
        batch = old[begin : begin + _BATCH]
        with database.reading() as connection:
            rows = connection.execute(sa.select(JOBS.c.id, JOBS.c.ended).where(JOBS.c.id.in_(batch))).all()
        ended = {row.id: row.ended is not None for row in rows}
        for job in batch:
            if job not in ended:
                artefacts.remove_job(job)
            elif ended[job]:
                # By their own age, since the job may be retried right now.
                ages = artefacts.ages(job).items()
                artefacts.remove(*(key for key, age in ages if age > _ORPHAN_SECONDS and _is_left_over(key)))


def expire(database: Database, artefacts: Artefacts, job: str) -> None:
    """Remove the uploads and results of an ended job; one that has been retried since it was chosen keeps them."""
    with database.writing() as connection:
        ended = sa.update(JOBS).where(JOBS.c.id == job, JOBS.c.ended.is_not(None)).values(expired=True, bytes=0)
        if not connection.execute(ended).rowcount:
            return
        for table in (UPLOADS, TRUTHS):
            connection.execute(sa.delete(table).where(table.c.job == job))
    artefacts.remove_job(job)
    get_logger().info("the results of a job have expired", job=job)


def forget(database: Database, job: str) -> bool:
    """Remove an ended job's rows, and those of DBOS. False when it is not ended, or gone."""
    with database.writing() as connection:
        if not connection.execute(sa.delete(JOBS).where(JOBS.c.id == job, JOBS.c.ended.is_not(None))).rowcount:
            return False
    known = database.client.list_workflows(workflow_id_prefix=f"{job}.", load_input=False, load_output=False)
    for begin in range(0, len(known), _BATCH):
        database.client.delete_workflows([entry.workflow_id for entry in known[begin : begin + _BATCH]])
    return True


def _is_left_over(key: str) -> bool:
    """Whether an ended job has no use for the artefact of this name."""
    return key.endswith(PART) or key.partition("/")[2].startswith(("state-", "partial-"))


def _too_old(database: Database, before: float) -> list[str]:
    query = sa.select(JOBS.c.id).where(JOBS.c.expired == sa.false(), JOBS.c.ended < before).limit(_BATCH)
    with database.reading() as connection:
        return list(connection.scalars(query))


def _too_many(database: Database, most: int) -> list[str]:
    """The oldest ended jobs that are too much."""
    ended = sa.and_(JOBS.c.expired == sa.false(), JOBS.c.ended.is_not(None))
    with database.reading() as connection:
        over = (connection.scalar(sa.select(sa.func.sum(JOBS.c.bytes)).where(ended)) or 0) - most
        if over <= 0:
            return []
        chosen: list[str] = []
        for row in connection.execute(sa.select(JOBS.c.id, JOBS.c.bytes).where(ended).order_by(JOBS.c.ended)):
            if over <= 0:
                break
            chosen.append(row.id)
            over -= row.bytes
        return chosen


def _forget(database: Database, artefacts: Artefacts, before: float) -> None:
    query = sa.select(JOBS.c.id).where(JOBS.c.expired == sa.true(), JOBS.c.ended < before).limit(_BATCH)
    with database.reading() as connection:
        jobs = list(connection.scalars(query))
    for job in jobs:
        if forget(database, job):
            artefacts.remove_job(job)
