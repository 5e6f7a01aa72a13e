"""Accepting a job: uploads to the artefacts, then rows and queue in one transaction."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from actionlens.v1 import job_pb2
from service.errors import AlreadyExists, ResourceExhausted
from service.jobs import views
from service.jobs.artefacts import Artefacts
from service.jobs.database import Database
from service.jobs.queue import AHEAD, Line, enqueue
from service.jobs.tables import CLIPS, JOBS, UPLOADS
from service.settings import JobSettings
from service.validation import method_name

ACTIVE = (job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING)
_RETRY_SECONDS = 10.0
# Uploads of a job that are smaller in all go into the database.
_INLINE_BYTES = 256 * 2**10

# Statements are made once: making them takes longer than running them.
_OWN = sa.case((JOBS.c.tenant == sa.bindparam("tenant"), JOBS.c.queued), else_=0)
_WAITING = sa.select(sa.func.sum(JOBS.c.queued), sa.func.sum(_OWN)).where(JOBS.c.state.in_(ACTIVE))
_KNOWN = sa.select(JOBS.c.id, JOBS.c.body_digest).where(
    JOBS.c.tenant == sa.bindparam("tenant"), JOBS.c.request_id == sa.bindparam("request_id")
)
_NEW_JOB, _NEW_CLIPS, _NEW_UPLOADS = sa.insert(JOBS), sa.insert(CLIPS), sa.insert(UPLOADS)


def submit(
    database: Database, artefacts: Artefacts, request: job_pb2.CreateJobRequest, settings: JobSettings
) -> tuple[job_pb2.Job, bool]:
    """Accept a checked job, durably. Returns it, and whether it is new.

    Raises AlreadyExists, ResourceExhausted (too many clips wait; disk full), Unavailable, and SQLAlchemy's DBAPIError.
    """
    digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
    if known := _known(database, request, digest):
        return views.job(database, settings, known), False
    if not request.HasField("seed"):
        # 32 bits: what random generators everywhere take.
        request.seed = secrets.randbits(32)
    job = f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"
    uploads = {
        place: clip.clip.SerializeToString()
        for place, clip in enumerate(request.clips)
        if clip.WhichOneof("source") == "clip"
    }
    held = sum(map(len, uploads.values()))
    names: dict[int, str] = {}
    try:
        if held > _INLINE_BYTES:
            names = {place: artefacts.write(job, f"upload-{place}", data) for place, data in uploads.items()}
            uploads = {}
        with database.writing() as connection:
            _check_room(connection, request.tenant, len(request.clips), settings)
            _insert_job(connection, job, request, digest, held)
            _insert_clips(connection, job, request, names)
            if uploads:
                rows = [{"job": job, "place": place, "clip": data} for place, data in uploads.items()]
                connection.execute(_NEW_UPLOADS, rows)
            line = Line(job, request.priority, request.tenant)
            enqueue(database, connection, line, [(place, 1) for place in range(min(AHEAD, len(request.clips)))])
            # In the same transaction: one more would cost as much as the rest of the row.
            return views.job_in(connection, settings, job), True
    except IntegrityError:
        # The same request_id came twice at once, and the other was first.
        artefacts.remove_job(job)
        if known := _known(database, request, digest):
            return views.job(database, settings, known), False
        raise
    except BaseException:
        artefacts.remove_job(job)
        raise


def _known(database: Database, request: job_pb2.CreateJobRequest, digest: str) -> str:
    """The job that this request made before; empty when there is none."""
    if not request.request_id:
        return ""
    with database.reading() as connection:
        given = {"tenant": request.tenant, "request_id": request.request_id}
        row = connection.execute(_KNOWN, given).one_or_none()
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
    everybody, own = connection.execute(_WAITING, {"tenant": tenant}).one()
    for waiting, whose, most in (
        (everybody or 0, "", settings.max_queued),
        (own or 0, f" of tenant {tenant!r}", settings.max_queued_per_tenant),
    ):
        if waiting + count > most:
            raise ResourceExhausted(
                f"clips: {waiting}{whose} wait already, {count} more are over the limit of {most}; try again later",
                field="clips",
                reason="QUEUE_FULL",
                retry_after=_RETRY_SECONDS,
            )


def _insert_job(connection: sa.Connection, job: str, request: job_pb2.CreateJobRequest, digest: str, held: int) -> None:
    row = {
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
    connection.execute(_NEW_JOB, row)


def _insert_clips(
    connection: sa.Connection, job: str, request: job_pb2.CreateJobRequest, uploads: Mapping[int, str]
) -> None:
    """uploads: artefacts by place."""
    connection.execute(
        _NEW_CLIPS,
        [
            {
                "job": job,
                "place": place,
                "name": clip.name,
                "upload": uploads.get(place),
                "path": clip.path if clip.WhichOneof("source") == "path" else None,
                "state": job_pb2.CLIP_STATE_QUEUED,
                "handed": place < AHEAD,
            }
            for place, clip in enumerate(request.clips)
        ],
    )


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
