"""Accepting a job: uploads to the artefacts, then rows and queue in one transaction."""

from __future__ import annotations

import functools
import hashlib
import secrets
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from actionlens.v1 import job_pb2
from service.errors import AlreadyExists, ResourceExhausted
from service.jobs.protocol import Complete
from service.jobs.store import queries
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.database import Database
from service.jobs.store.prepared import Prepared
from service.jobs.store.queue import AHEAD, Line, enqueue
from service.jobs.store.tables import CLIPS, JOBS, TRUTHS, UPLOADS
from service.settings import JobSettings
from service.validation.request import check_message, method_name

ACTIVE = (job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING)
_DEFAULT_TENANT = "default"
_RETRY_SECONDS = 10.0
# Uploads of a job that are smaller in all go into the database.
_INLINE_BYTES = 256 * 2**10

_OWN = sa.case((JOBS.c.tenant == sa.bindparam("tenant"), JOBS.c.queued), else_=sa.literal_column("0"))
_IS_ACTIVE = JOBS.c.state.in_([sa.literal_column(str(int(state))) for state in ACTIVE])
_WAITING = Prepared(
    sa.select(sa.func.sum(JOBS.c.queued).label("everybody"), sa.func.sum(_OWN).label("own")).where(_IS_ACTIVE)
)
_KNOWN = Prepared(
    sa.select(JOBS.c.id, JOBS.c.body_digest).where(
        JOBS.c.tenant == sa.bindparam("tenant"), JOBS.c.request_id == sa.bindparam("request_id")
    )
)
_NEW_JOB, _NEW_CLIPS, _NEW_UPLOADS, _NEW_TRUTHS = (
    Prepared(sa.insert(table)) for table in (JOBS, CLIPS, UPLOADS, TRUTHS)
)


def submit(
    database: Database,
    artefacts: Artefacts,
    request: job_pb2.CreateJobRequest,
    settings: JobSettings,
    complete: Complete | None = None,
) -> tuple[job_pb2.Job, bool]:
    """Accept a job, durably. Returns it, and whether it is new.

    complete: see JobEngine.create; its errors are raised. Raises InvalidArgument, AlreadyExists, ResourceExhausted
    (too many clips wait; disk full), Unavailable, and SQLAlchemy's DBAPIError.
    """
    check_message(request)
    digest = ""
    if request.request_id:
        # Of the body as it was sent: it may be completed otherwise tomorrow.
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
    request.tenant = request.tenant or _DEFAULT_TENANT
    if known := _known(database, request, digest):
        return queries.job(database, settings, known), False
    if complete is not None:
        complete(request)
    if not request.HasField("seed"):
        # 32 bits: random generators everywhere take so many.
        request.seed = secrets.randbits(32)
    job = f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"
    uploads = {
        index: clip.clip.SerializeToString()
        for index, clip in enumerate(request.clips)
        if clip.WhichOneof("source") == "clip"
    }
    truths = [
        {"job": job, "place": index, "truth": clip.ground_truth.SerializeToString()}
        for index, clip in enumerate(request.clips)
        if clip.HasField("ground_truth")
    ]
    held = sum(map(len, uploads.values()))
    row = _row(job, request, digest, held)
    names: dict[int, str] = {}
    try:
        if held > _INLINE_BYTES:
            names = {index: artefacts.write(job, f"upload-{index}", data) for index, data in uploads.items()}
            uploads = {}
        with database.writing() as connection:
            _check_room(connection, request.tenant, len(request.clips), settings)
            _NEW_JOB.run(connection, row)
            _insert_clips(connection, job, request, names)
            if uploads:
                _NEW_UPLOADS.run(
                    connection, [{"job": job, "place": index, "clip": data} for index, data in uploads.items()]
                )
            if truths:
                _NEW_TRUTHS.run(connection, truths)
            line = Line(job, request.priority, request.tenant)
            enqueue(database, connection, line, [(index, 1) for index in range(min(AHEAD, len(request.clips)))])
    except IntegrityError:
        # The same request_id came twice at once, and the other was first.
        artefacts.remove_job(job)
        if known := _known(database, request, digest):
            return queries.job(database, settings, known), False
        raise
    except BaseException:
        artefacts.remove_job(job)
        raise
    return queries.job_message(SimpleNamespace(**row, reason=None), settings), True


def _known(database: Database, request: job_pb2.CreateJobRequest, digest: str) -> str:
    """The job that this request made before; empty when there is none."""
    if not request.request_id:
        return ""
    with database.reading() as connection:
        given = {"tenant": request.tenant, "request_id": request.request_id}
        row = _KNOWN.run(connection, given).one_or_none()
    if row is None:
        return ""
    if row.body_digest != digest:
        raise AlreadyExists(
            f"request_id: {request.request_id!r} is the id of job {row.id}, which asks for something else; "
            "choose a new id for a new request",
            field="request_id",
            reason="REQUEST_ID_TAKEN",
        )
    return str(row.id)


def _check_room(connection: sa.Connection, tenant: str, count: int, settings: JobSettings) -> None:
    row = _WAITING.run(connection, {"tenant": tenant}).one()
    for waiting, whose, most in (
        (row.everybody or 0, "", settings.max_queued),
        (row.own or 0, f" of tenant {tenant!r}", settings.max_queued_per_tenant),
    ):
        if waiting + count > most:
            raise ResourceExhausted(
                f"clips: {waiting}{whose} wait already, {count} more are over the limit of {most}; try again later",
                field="clips",
                reason="QUEUE_FULL",
                retry_after=_RETRY_SECONDS,
            )


def _row(job: str, request: job_pb2.CreateJobRequest, digest: str, held: int) -> dict[str, Any]:
    """The row of JOBS of a new job. held: bytes of its uploads."""
    return {
        **_blank(JOBS),
        "id": job,
        "tenant": request.tenant,
        "request_id": request.request_id or None,
        "body_digest": digest,
        "band": request.priority,
        "state": job_pb2.JOB_STATE_QUEUED,
        "model": request.model,
        "method": method_name(request.method),
        "request": _without_clips(request).SerializeToString(),
        "total": len(request.clips),
        "queued": len(request.clips),
        "bytes": held,
        "created": time.time(),
    }


def _insert_clips(
    connection: sa.Connection, job: str, request: job_pb2.CreateJobRequest, uploads: Mapping[int, str]
) -> None:
    """uploads: names of artefacts by clip_index."""
    blank = _blank(CLIPS)
    _NEW_CLIPS.run(
        connection,
        [
            {
                **blank,
                "job": job,
                "place": index,
                "name": clip.name,
                "upload": uploads.get(index),
                "path": clip.path if clip.WhichOneof("source") == "path" else None,
                "state": job_pb2.CLIP_STATE_QUEUED,
                "handed": index < AHEAD,
            }
            for index, clip in enumerate(request.clips)
        ],
    )


@functools.cache
def _blank(table: sa.Table) -> Mapping[str, Any]:
    """The columns of a new row with their defaults."""
    return {
        name: column.default.arg if isinstance(column.default, sa.ColumnDefault) else None
        for name, column in table.c.items()
    }


def _without_clips(request: job_pb2.CreateJobRequest) -> job_pb2.CreateJobRequest:
    """A copy without the part that may be large."""
    rest = job_pb2.CreateJobRequest()
    for field, value in request.ListFields():
        if field.name == "clips":
            continue
        if field.message_type is not None:
            getattr(rest, field.name).CopyFrom(value)
        else:
            setattr(rest, field.name, value)
    return rest
