"""A job's clips as they were submitted."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from actionlens.v1 import clip_pb2, job_pb2
from service.errors import InvalidArgument, NotFound
from service.jobs.input_root import input_file
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.database import Database
from service.jobs.store.tables import TRUTHS, UPLOADS
from service.settings import Settings


def read_clip(
    settings: Settings, database: Database, artefacts: Artefacts, row: sa.Row[Any], field: str
) -> clip_pb2.Clip:
    """A job's clip as it was submitted: its stored upload, or the file that its path names now.

    row: of CLIPS. field: of the clip in the request, "clips[3]". Raises NotFound when it is gone, InvalidArgument when
    the path is none of ours, or the file is larger than a message may be, and SQLAlchemyError.
    """
    if row.upload is not None:
        return clip_pb2.Clip.FromString(artefacts.read(row.upload))
    if row.path is None:
        query = sa.select(UPLOADS.c.clip).where(UPLOADS.c.job == row.job, UPLOADS.c.place == row.place)
        with database.reading() as connection:
            data = connection.scalar(query)
        if data is None:
            raise NotFound(f"{field}: the upload is no longer stored", field=field, reason="EXPIRED")
        return clip_pb2.Clip.FromString(data)
    path, field = row.path, f"{field}.path"
    root = settings.jobs.input_root
    limit = settings.limits.message_bytes
    try:
        data = _content(input_file(root.resolve() if root is not None else None, path, field), limit + 1)
    except OSError as error:
        raise NotFound(f"{field}: {path!r} cannot be read: {error.strerror}", field=field) from None
    if len(data) > limit:
        raise InvalidArgument(
            f"{field}: {path!r} is larger than {limit} bytes; cut the clip", field=field, reason="CLIP_TOO_LARGE"
        )
    return clip_pb2.Clip(video=data)


def read_truth(database: Database, row: sa.Row[Any]) -> job_pb2.GroundTruth | None:
    """What is known of a job's clip; None: nothing. row: of CLIPS. Raises SQLAlchemyError."""
    query = sa.select(TRUTHS.c.truth).where(TRUTHS.c.job == row.job, TRUTHS.c.place == row.place)
    with database.reading() as connection:
        data = connection.scalar(query)
    return None if data is None else job_pb2.GroundTruth.FromString(data)


def _content(path: Path, most: int) -> bytes:
    """The first bytes of a file. Raises OSError for all that is not one: a pipe's writer may never come."""
    # No link is left in the path; one that is there now was put there since.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        with open(handle, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(handle)
