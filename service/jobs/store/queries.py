"""Reads jobs and clips as clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from google.protobuf import duration_pb2, timestamp_pb2

from actionlens.v1 import explanation_pb2, job_pb2
from service.errors import InvalidArgument, NotFound
from service.jobs.store.counts import Counts
from service.jobs.store.database import Database
from service.jobs.store.tables import BLOCKS, CLIPS, JOBS, OBJECTIVES
from service.settings import JobSettings

ENDED = (
    job_pb2.JOB_STATE_SUCCEEDED,
    job_pb2.JOB_STATE_PARTIAL,
    job_pb2.JOB_STATE_FAILED,
    job_pb2.JOB_STATE_CANCELLED,
)

_PAGE = 100
_LARGEST_PAGE = 1000
_LONGEST_TOKEN = 9
"""Digits of a clip's index; longer numbers are none that a database takes."""
_DAY = 86_400.0

# Why a failed job's first clip failed: none of its clips has another state.
_REASON = (
    sa.select(CLIPS.c.failure)
    .where(CLIPS.c.job == JOBS.c.id, CLIPS.c.place == 0, JOBS.c.state == job_pb2.JOB_STATE_FAILED)
    .scalar_subquery()
    .label("reason")
)
# Made once: every watch asks it again and again.
_JOB = sa.select(JOBS, _REASON).where(JOBS.c.id == sa.bindparam("job"))


def unknown_job(identifier: str) -> NotFound:
    """The error of every call that names no job."""
    return NotFound(f"id: there is no job {identifier!r}, or no longer", field="id", reason="UNKNOWN_JOB")


def job(database: Database, settings: JobSettings, identifier: str) -> job_pb2.Job:
    """One job. Raises NotFound."""
    with database.reading() as connection:
        row = connection.execute(_JOB, {"job": identifier}).one_or_none()
    if row is None:
        raise unknown_job(identifier)
    return job_message(row, settings)


def jobs(
    database: Database,
    settings: JobSettings,
    request: job_pb2.ListJobsRequest,
    tenants: Sequence[str] | None = None,
) -> job_pb2.ListJobsResponse:
    """A page of jobs, newest first; with tenants only theirs. Raises InvalidArgument for a token that is none."""
    query = sa.select(JOBS, _REASON).order_by(JOBS.c.id.desc())
    for column, wanted in (
        (JOBS.c.method, request.method),
        (JOBS.c.model, request.model),
        (JOBS.c.tenant, request.tenant),
    ):
        if wanted:
            query = query.where(column == wanted)
    if tenants is not None:
        query = query.where(JOBS.c.tenant.in_(tenants))
    if request.states:
        query = query.where(JOBS.c.state.in_(set(request.states)))
    if request.page_token:
        if not request.page_token.isalnum():
            raise _bad_token()
        query = query.where(JOBS.c.id < request.page_token)
    size = min(request.page_size or _PAGE, _LARGEST_PAGE)
    with database.reading() as connection:
        rows = connection.execute(query.limit(size + 1)).all()
    response = job_pb2.ListJobsResponse(jobs=[job_message(row, settings) for row in rows[:size]])
    if len(rows) > size:
        response.next_page_token = rows[size - 1].id
    return response


def clips(database: Database, request: job_pb2.ListJobClipsRequest) -> job_pb2.ListJobClipsResponse:
    """A page of a job's clips. Raises NotFound, InvalidArgument for a token that is none."""
    query = sa.select(CLIPS).where(CLIPS.c.job == request.id).order_by(CLIPS.c.place)
    if request.states:
        query = query.where(CLIPS.c.state.in_(set(request.states)))
    if request.page_token:
        if not request.page_token.isdecimal() or len(request.page_token) > _LONGEST_TOKEN:
            raise _bad_token()
        query = query.where(CLIPS.c.place > int(request.page_token))
    size = min(request.page_size or _PAGE, _LARGEST_PAGE)
    with database.reading() as connection:
        if not connection.scalar(sa.select(sa.exists().where(JOBS.c.id == request.id))):
            raise unknown_job(request.id)
        rows = connection.execute(query.limit(size + 1)).all()
    response = job_pb2.ListJobClipsResponse(clips=[clip_status(row) for row in rows[:size]])
    if len(rows) > size:
        response.next_page_token = str(rows[size - 1].place)
    return response


def clip(database: Database, identifier: str, clip_index: int) -> sa.Row[Any]:
    """A clip's row, with `ended` and `expired` of its job. Raises NotFound."""
    query = (
        sa.select(CLIPS, JOBS.c.ended, JOBS.c.expired)
        .join(JOBS, JOBS.c.id == CLIPS.c.job)
        .where(CLIPS.c.job == identifier, CLIPS.c.place == clip_index)
    )
    with database.reading() as connection:
        row = connection.execute(query).one_or_none()
        total = connection.scalar(sa.select(JOBS.c.total).where(JOBS.c.id == identifier))
    if total is None:
        raise unknown_job(identifier)
    if row is None:
        raise NotFound(
            f"clip: there is no clip {clip_index}; this job's are numbered 0 to {total - 1}",
            field="clip",
            reason="UNKNOWN_CLIP",
        )
    return row


def progress(database: Database, settings: JobSettings, identifier: str) -> tuple[job_pb2.WatchJobResponse, str]:
    """A job with its clips in work, and the artefact of the first one's explanation so far. Raises NotFound."""
    running = sa.select(CLIPS).where(CLIPS.c.job == identifier, CLIPS.c.state == job_pb2.CLIP_STATE_RUNNING)
    with database.reading() as connection:
        row = connection.execute(_JOB, {"job": identifier}).one_or_none()
        if row is None:
            raise unknown_job(identifier)
        rows = connection.execute(running.order_by(CLIPS.c.place)).all()
        points: list[tuple[int, float]] = []
        if rows:
            of_first = (OBJECTIVES.c.job == identifier, OBJECTIVES.c.place == rows[0].place)
            query = sa.select(OBJECTIVES.c.iteration, OBJECTIVES.c.value).where(*of_first)
            points = [
                (point.iteration, point.value) for point in connection.execute(query.order_by(OBJECTIVES.c.iteration))
            ]
    response = job_pb2.WatchJobResponse(job=job_message(row, settings), running=[clip_status(entry) for entry in rows])
    if points:
        response.objective.name, response.objective.x_name = "objective", "iteration"
        response.objective.x.extend(float(iteration) for iteration, _ in points)
        response.objective.y.extend(value for _, value in points)
    # Of the clip that the objective is of.
    return response, (rows[0].partial or "") if rows else ""


def counts(database: Database) -> Counts:
    """All jobs in numbers."""
    by_state = sa.select(JOBS.c.state, JOBS.c.band, sa.func.count()).group_by(JOBS.c.state, JOBS.c.band)
    oldest = (
        sa.select(JOBS.c.band, sa.func.min(JOBS.c.created))
        .where(JOBS.c.state == job_pb2.JOB_STATE_QUEUED)
        .group_by(JOBS.c.band)
    )
    with database.reading() as connection:
        return Counts(
            jobs={(state, band): count for state, band, count in connection.execute(by_state)},
            oldest={band: created for band, created in connection.execute(oldest)},
            blocks=tuple(tuple(row) for row in connection.execute(sa.select(BLOCKS).order_by(BLOCKS.c.bound))),
        )


def job_message(row: Any, settings: JobSettings) -> job_pb2.Job:
    """A job's row and reason, or an object with these as attributes, as clients see them."""
    request = job_pb2.CreateJobRequest.FromString(row.request)
    message = job_pb2.Job(
        id=row.id,
        request_id=request.request_id,
        tenant=row.tenant,
        priority=row.band,
        state=row.state,
        model=request.model,
        version=request.version,
        method=request.method,
        target=request.target,
        seed=request.seed,
        clips=job_pb2.ClipCounts(
            total=row.total,
            queued=row.queued,
            running=row.running,
            succeeded=row.succeeded,
            failed=row.failed,
            cancelled=row.cancelled,
        ),
        created=_time(row.created),
        cancelling=row.cancelling,
    )
    if row.reason:
        message.failure.CopyFrom(explanation_pb2.Failure.FromString(row.reason))
    if row.started is not None:
        message.started.CopyFrom(_time(row.started))
    if row.ended is not None:
        message.ended.CopyFrom(_time(row.ended))
        message.expires.CopyFrom(_time(row.ended + settings.retention_days * _DAY))
    return message


def clip_status(row: sa.Row[Any]) -> job_pb2.JobClipStatus:
    """A clip's row as clients see it."""
    message = job_pb2.JobClipStatus(
        index=row.place, name=row.name, state=row.state, seconds=row.seconds, result_bytes=row.result_bytes
    )
    if row.failure:
        message.failure.CopyFrom(explanation_pb2.Failure.FromString(row.failure))
    if row.result:
        message.result_digest = row.result.rsplit("-", 1)[1]
    if row.iterations:
        message.progress.iteration, message.progress.iterations = row.iteration, row.iterations
        if row.objective is not None:
            message.progress.objective = row.objective
        if row.remaining is not None:
            left = duration_pb2.Duration()
            left.FromNanoseconds(int(row.remaining * 1e9))
            message.progress.left.CopyFrom(left)
    return message


def _time(seconds: float) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromNanoseconds(int(seconds * 1e9))
    return stamp


def _bad_token() -> InvalidArgument:
    return InvalidArgument(
        "page_token: is not a token of this service; send next_page_token of the page before, or nothing",
        field="page_token",
        reason="BAD_PAGE_TOKEN",
    )
