"""Copies the SQLite file of jobs while it is in use, and brings a copy back.

A copy is one SQLite file: rows of jobs and DBOS's record, of one moment. Artefacts (large uploads, states, results) are
files beside it and stay where they are; the copy names their place.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from service.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.database import database_url
from service.jobs.store.sqlite_file import alone, check, settle
from service.settings import Settings

_TABLES = frozenset({"jobs", "clips", "workflow_status"})
_BESIDE = ("-wal", "-shm")


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """What a copy holds. taken: seconds since 1970. artefacts: where those of its rows are. missing: artefacts of
    uploads and results that are named and not there. moved: where the file went that was in the way, if one was."""

    jobs: int
    waiting: int
    taken: float
    artefacts: str
    missing: int = 0
    moved: Path | None = None


def artefacts_place(settings: Settings) -> str:
    """Where the artefacts are, as a path or URL."""
    return settings.jobs.artefacts or str((settings.data / "artefacts").absolute())


def backup(settings: Settings, target: Path) -> BackupSummary:
    """Copy the database of jobs to a new file, whole as of one moment; services and workers go on meanwhile.

    Raises AlreadyExists for a file that is there, FailedPrecondition for PostgreSQL, NotFound when there is no
    database, and Unavailable when it cannot be read or the copy cannot be written.
    """
    source = _file(settings, "pg_dump copies")
    if not source.is_file():
        raise NotFound(f"{source}: there is no database of jobs; ACTIONLENS_DATA or ACTIONLENS_JOBS_DB names another")
    with _made(target) as part:
        try:
            with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(part)) as new:
                # All pages in one step: a reader's view of one moment, which holds no writer up.
                old.backup(new)
                new.execute("PRAGMA journal_mode=DELETE")  # one file, and no others beside it
                new.execute("CREATE TABLE IF NOT EXISTS backup (taken REAL NOT NULL, artefacts TEXT NOT NULL)")
                new.execute("DELETE FROM backup")
                new.execute("INSERT INTO backup VALUES (?, ?)", (time.time(), artefacts_place(settings)))
                new.commit()
        except sqlite3.Error as error:
            raise Unavailable(f"{source} cannot be copied: {error}", reason="JOB_DATABASE_UNAVAILABLE") from None
        return _read(part, target)


def restore(settings: Settings, copy: Path, *, replace: bool = False) -> BackupSummary:
    """Make a copy that `backup` made the database of jobs. With `replace` a database that is there is moved aside.

    Raises NotFound and InvalidArgument for what is no sound copy, AlreadyExists for a database that is there,
    FailedPrecondition when somebody has that open, and for PostgreSQL, and Unavailable when it cannot be written.
    """
    target = _file(settings, "pg_restore or psql restores")
    if not copy.is_file():
        raise NotFound(f"{copy}: there is no such file")
    found = _read(copy, copy)
    aside = target.with_name(f"{target.name}.replaced-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
    with contextlib.ExitStack() as held:
        moved = None
        if target.exists():
            held.enter_context(alone(target))
            if not replace:
                raise AlreadyExists(
                    f"{target} is there already; --replace moves it aside and keeps it", reason="JOB_DATABASE_EXISTS"
                )
            moved = aside
        part = held.enter_context(_made(target, taken=moved is not None))
        shutil.copyfile(copy, part)
        with closing(sqlite3.connect(part)) as connection:
            connection.execute("DELETE FROM workers")  # none of them is any more; their clips go on at once
            connection.execute("DROP TABLE IF EXISTS backup")
            connection.commit()
        # Also what is left beside a file that is gone: SQLite would take its changes for those of the new one.
        for end in ("", *_BESIDE):
            with contextlib.suppress(FileNotFoundError):
                target.with_name(target.name + end).rename(aside.with_name(aside.name + end))
    named = _named(target)
    return BackupSummary(found.jobs, found.waiting, found.taken, found.artefacts, _missing(settings, named), moved)


def _file(settings: Settings, other: str) -> Path:
    url = database_url(settings)
    if url.get_backend_name() != "sqlite" or not url.database:
        raise FailedPrecondition(
            f"the database of jobs is PostgreSQL: {other} it; docs/jobs.md says how", reason="NOT_SQLITE"
        )
    return Path(url.database)


@contextlib.contextmanager
def _made(target: Path, *, taken: bool = False) -> Iterator[Path]:
    """A new file beside `target`, which gets that name in the end and never anybody else's. taken: the name is, until
    then. Raises AlreadyExists, Unavailable."""
    if target.exists() and not taken:
        raise AlreadyExists(f"{target} is there already; name another file")
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.touch(mode=0o600, exist_ok=False)
        yield part
        settle(part)
        # A link, since a rename would take the place of a file that came meanwhile.
        os.link(part, target)
        settle(target)
    except FileExistsError:
        raise AlreadyExists(f"{target} is there already; name another file") from None
    except OSError as error:
        raise Unavailable(f"{target} cannot be written: {error.strerror or error}") from None
    finally:
        for end in ("", "-journal", *_BESIDE):
            part.with_name(part.name + end).unlink(missing_ok=True)


def _read(path: Path, shown: Path) -> BackupSummary:
    """Raises InvalidArgument for what is no copy, or a damaged one. shown: the name in the message."""
    try:
        check(path, float("inf"))
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not {*_TABLES, "backup"} <= tables:
                raise InvalidArgument(f"{shown}: is no copy that `actionlens jobs backup` made", reason="NO_BACKUP")
            counted = "SELECT count(*), coalesce(sum(queued + running), 0) FROM jobs"
            jobs, waiting = connection.execute(counted).fetchone()
            taken, artefacts = connection.execute("SELECT taken, artefacts FROM backup").fetchone()
    except (Unavailable, sqlite3.Error) as error:
        raise InvalidArgument(f"{shown}: is no sound copy: {error}", reason="NO_BACKUP") from None
    return BackupSummary(jobs, waiting, taken, artefacts)


def _named(path: Path) -> set[str]:
    """Artefacts that rows name and somebody will ask for."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT upload, result FROM clips JOIN jobs ON jobs.id = clips.job WHERE NOT jobs.expired"
        )
        return {name for row in rows for name in row if name}


def _missing(settings: Settings, named: set[str]) -> int:
    artefacts = Artefacts(settings)
    there: set[str] = set()
    for job in {name.partition("/")[0] for name in named}:
        there.update(artefacts.ages(job))
    return len(named - there)
