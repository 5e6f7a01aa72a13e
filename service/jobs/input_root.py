"""Clips that jobs name as files below the input root."""

from __future__ import annotations

import os
from pathlib import Path

from service.errors import FailedPrecondition, InvalidArgument


def input_file(root: Path | None, path: str, field: str) -> Path:
    """The file that a job's path means, with no symbolic link left in it; it need not exist.

    Call it when the job comes in and again when the file is read: links may have changed meanwhile. root: the input
    root, resolved; None where none is configured. Raises FailedPrecondition then, and InvalidArgument (with `field`)
    for a path that is empty, absolute, climbs with "..", or leaves the root through a link. Links in a circle are for
    the reader to find.
    """
    if root is None:
        raise FailedPrecondition(
            f"{field}: this service takes no files by path; upload the clip, or have ACTIONLENS_JOBS__INPUT_ROOT name "
            "the folder that they are in",
            field=field,
            reason="NO_INPUT_ROOT",
        )
    # Strings, not Path objects: ten thousand of these are checked while live calls wait for the same interpreter.
    parts = path.split("/")
    if "\0" in path or not any(part not in ("", ".") for part in parts):
        raise InvalidArgument(f"{field}: {path!r} names no file", field=field, reason="BAD_PATH")
    if path.startswith("/") or ".." in parts:
        raise _outside(path, field)
    real = str(root).rstrip("/")
    found = os.path.realpath(f"{real}/{path}")
    if not found.startswith(f"{real}/"):
        raise _outside(path, field)
    return Path(found)


def _outside(path: str, field: str) -> InvalidArgument:
    return InvalidArgument(
        f"{field}: {path!r} leaves the input root; give a path relative to it, without '..' and without links that "
        "lead out",
        field=field,
        reason="PATH_OUTSIDE_ROOT",
    )
