"""The SQLite file of jobs: whether it is sound, still the one that was opened, and whether anybody has it open."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from service.errors import FailedPrecondition, Unavailable
from service.jobs.store.database_failures import DAMAGED, is_damage

_CHECK_SECONDS = 10.0
_CHECK_STEPS = 10_000
"""Instructions of SQLite between two looks at the clock: some milliseconds."""
# Of SQLite's file format: whoever has the file open in WAL mode holds a shared lock on some of these bytes.
_SHARED_FIRST, _SHARED_BYTES = 0x4000_0000 + 2, 510
Identity = tuple[int, int]


def identity(path: Path) -> Identity | None:
    """The file that has this path now, (device, inode); None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def check(path: Path, seconds: float = _CHECK_SECONDS) -> bool:
    """Have SQLite read all pages (`PRAGMA quick_check`) for at most so long. Returns whether it came to the end; a file
    that does not exist, or is empty, is sound. Raises Unavailable, with the way out, for a damaged one."""
    try:
        if not path.is_file() or not path.stat().st_size:
            return True
    except OSError:  # opening it says more
        return True
    end = time.monotonic() + seconds
    try:
        with closing(sqlite3.connect(path, timeout=min(seconds, _CHECK_SECONDS))) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > end, _CHECK_STEPS)
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if is_damage(error):
            raise _damaged(path, str(error)) from None
        return False  # out of time, or in use: it is opened next, and that says more
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from None
    if found != "ok":
        raise _damaged(path, str(found))
    return True


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep everybody else from opening an existing file. Raises FailedPrecondition when a service or a worker has it
    open. Not for a process that has it open itself."""
    with path.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_BYTES, _SHARED_FIRST)
        except OSError:
            raise FailedPrecondition(
                f"{path}: a service or a job worker has it open; stop them first", reason="JOB_DATABASE_IN_USE"
            ) from None
        yield


def settle(path: Path) -> None:
    """Have a file, and its name in its folder, on the disk."""
    for each, flags in ((path, os.O_RDONLY), (path.parent, os.O_RDONLY | os.O_DIRECTORY)):
        handle = os.open(each, flags)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _damaged(path: Path, why: str) -> Unavailable:
    return Unavailable(
        f"the database of jobs, {path}, is damaged: {why.splitlines()[0]}; stop the service and restore a backup "
        "(`actionlens jobs restore FILE --replace`), or move the file away to begin with an empty one",
        reason=DAMAGED,
    )
