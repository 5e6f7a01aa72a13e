"""Clips that jobs name as files below the input root."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from actionlens.v1 import clip_pb2
from service.errors import FailedPrecondition, InvalidArgument, NotFound
from service.jobs.artefacts import Artefacts
from service.settings import Settings


def input_file(root: Path | None, path: str, field: str) -> Path:
    """The file that a job's path means, with no symbolic link left in it; it need not exist.

    Call it when the job comes in and again when the file is read: links may have changed meanwhile. root: None where
    no input root is configured. Raises FailedPrecondition then, and InvalidArgument (with `field`) for a path that is
    empty, absolute, climbs with "..", or leaves the root through a link.
    """
    if root is None:
        raise FailedPrecondition(
            f"{field}: this service takes no files by path; upload the clip, or have ACTIONLENS_JOBS__INPUT_ROOT set "
            "to the folder that they are in",
            field=field,
            reason="NO_INPUT_ROOT",
        )
    pure = PurePosixPath(path)
    if not path or "\0" in path or pure == PurePosixPath("."):
        raise InvalidArgument(f"{field}: {path!r} names no file", field=field, reason="BAD_PATH")
    if pure.is_absolute() or ".." in pure.parts:
        raise _outside(path, field)
    try:
        real = root.resolve()
        found = (real / pure).resolve()
    except (OSError, RuntimeError):
        raise InvalidArgument(f"{field}: {path!r} cannot be followed", field=field, reason="BAD_PATH") from None
    if not found.is_relative_to(real) or found == real:
        raise _outside(path, field)
    return found


def _outside(path: str, field: str) -> InvalidArgument:
    return InvalidArgument(
        f"{field}: {path!r} leaves the input root; give a path relative to it, without '..' and without links that "
        "lead out",
        field=field,
        reason="PATH_OUTSIDE_ROOT",
    )


def read_clip(
    settings: Settings, artefacts: Artefacts, upload: str | None, path: str | None, field: str
) -> clip_pb2.Clip:
    """A job's clip as it was submitted: its stored upload, or the file that `path` names now.

    field: of the clip in the request, "clips[3]". Raises NotFound when it is gone, InvalidArgument when the path is
    none of ours, or the file is larger than a message may be.
    """
    if upload is not None:
        return clip_pb2.Clip.FromString(artefacts.read(upload))
    path, field = path or "", f"{field}.path"
    limit = settings.limits.message_bytes
    try:
        with input_file(settings.jobs.input_root, path, field).open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise NotFound(f"{field}: {path!r} cannot be read: {error.strerror}", field=field) from None
    if len(data) > limit:
        raise InvalidArgument(
            f"{field}: {path!r} is larger than {limit} bytes; cut the clip", field=field, reason="CLIP_TOO_LARGE"
        )
    return clip_pb2.Clip(video=data)
