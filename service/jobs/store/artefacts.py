"""Where uploads, states and results lie: a folder, or any store that fsspec knows. Rows hold their names."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from service.errors import NotFound, ResourceExhausted, Unavailable
from service.settings import Settings

PART = ".part"
"""How the names end of blobs that a crash has left half written."""

_PROBE = "probe"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RETRY_SECONDS = 5.0


class Artefacts:
    """Named blobs, one folder per job. Each is whole: a blob appears at once and never changes.

    Names end in a digest of the content ("job/state-3-1f0c..."), so a blob that was damaged is not taken for good.
    Safe to use from many threads.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises Unavailable for a store that cannot be opened."""
        where = settings.jobs.artefacts or str(settings.data / "artefacts")
        try:
            self._store, self._root = fsspec.core.url_to_fs(where)
            self._local = isinstance(self._store, LocalFileSystem)
            if self._local:
                self._store.makedirs(self._root, exist_ok=True)
            else:
                self._try()
        except Exception as error:  # fsspec's, and those of the store's own client
            raise Unavailable(
                "the store of artefacts cannot be opened; set ACTIONLENS_JOBS__ARTEFACTS",
                reason="ARTEFACTS_UNAVAILABLE",
                detail=f"{where}: {_first_line(error)}",
            ) from error

        # Clients of object stores raise errors of their own kinds.
        self._failures: tuple[type[Exception], ...] = (OSError,) if self._local else (Exception,)

    def _try(self) -> None:
        """Write and remove a blob: a bucket that does not exist, or may not be written to, is reported now. None is
        made: its name may be a mistake."""
        probe = self._path(f"{_PROBE}/{uuid.uuid4().hex}")
        self._store.pipe_file(probe, b"")
        self._store.rm_file(probe)

    def write(self, job: str, name: str, data: bytes) -> str:
        """Store a blob durably and return its full name. Raises ResourceExhausted when the disk is full."""
        key = f"{job}/{name}-{hashlib.sha256(data).hexdigest()}"
        try:
            if self._local:
                _write_whole(Path(self._root, key), data)
            else:
                # Object stores show a new object only when all of it has arrived.
                self._store.pipe_file(self._path(key), data)
        except self._failures as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                raise ResourceExhausted(
                    "the disk of the artefacts is full",
                    reason="DISK_FULL",
                    retry_after=_RETRY_SECONDS,
                    detail=str(error),
                ) from None
            raise _unavailable(error) from None
        return key

    def read(self, key: str) -> bytes:
        """A blob's content. Raises NotFound when it is gone, Unavailable when it is damaged or cannot be reached."""
        try:
            data: bytes = self._store.cat_file(self._path(key))
        except FileNotFoundError:
            raise NotFound(f"{key} is no longer stored", reason="ARTEFACT_GONE") from None
        except self._failures as error:
            raise _unavailable(error) from None
        if not key.endswith(hashlib.sha256(data).hexdigest()):
            raise Unavailable(f"{key} is damaged: its digest differs", reason="ARTEFACT_DAMAGED")
        return data

    def remove(self, *keys: str) -> None:
        """Remove blobs; those that are gone already, or cannot be removed now, are left to the sweep."""
        for key in keys:
            with contextlib.suppress(*self._failures):
                self._store.rm_file(self._path(key))

    def ages(self, job: str) -> dict[str, float]:
        """Full names of a job's blobs, half-written ones among them, and how many seconds ago each was written."""
        now = time.time()
        return {f"{job}/{name}": now - written for name, written in self._list(job)}

    def remove_job(self, job: str) -> None:
        """Remove all blobs of a job."""
        with contextlib.suppress(*self._failures):
            self._store.rm(self._path(job), recursive=True)

    def jobs(self) -> Iterator[tuple[str, float]]:
        """Jobs that have blobs, and how many seconds ago the newest of each was written."""
        for job, _ in self._list(""):
            yield job, min(self.ages(job).values(), default=float("inf"))

    def _list(self, folder: str) -> list[tuple[str, float]]:
        """Own names in a folder with the times of writing."""
        self._store.invalidate_cache()
        try:
            entries: list[dict[str, Any]] = self._store.ls(self._path(folder), detail=True)
        except self._failures:
            return []
        return [(entry["name"].rstrip("/").rsplit("/", 1)[-1], _written(entry)) for entry in entries]

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}".rstrip("/")


def _write_whole(path: Path, data: bytes) -> None:
    """Write to a file beside it, and rename that when it is on the disk."""
    folder = path.parent
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _settle(folder.parent)
    part = path.with_name(f"{path.name}.{os.getpid()}-{time.monotonic_ns()}{PART}")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _settle(folder)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _settle(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _written(entry: dict[str, Any]) -> float:
    stamp = entry.get("mtime") or entry.get("LastModified") or entry.get("created") or 0.0
    return float(stamp) if isinstance(stamp, int | float) else float(stamp.timestamp())


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(
        "the artefacts cannot be reached",
        reason="ARTEFACTS_UNAVAILABLE",
        detail=_first_line(error),
        retry_after=_RETRY_SECONDS,
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
