"""The job engine over a database and artefacts. Everything it does blocks, so it is done in threads of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from actionlens.v1 import answer_pb2, clip_pb2, explanation_pb2, job_pb2
from service.concurrency.thread_pool import Pool
from service.errors import ActionLensError, FailedPrecondition, NotFound, Unavailable
from service.jobs.protocol import Complete
from service.jobs.store import actions, queries
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.clip_sources import read_clip
from service.jobs.store.counts import Counts
from service.jobs.store.database import Database, database_url
from service.jobs.store.database_failures import DAMAGED, reported
from service.jobs.store.sqlite_file import check
from service.jobs.store.submission import submit
from service.settings import Settings
from service.telemetry.log import get_logger

T = TypeVar("T")

_THREADS = 4
_WATCH_SECONDS = 0.3
_RETRY_SECONDS = 5.0
_LOST = (DAMAGED, "JOB_DATABASE_GONE")


class DatabaseJobEngine:
    """Implements JobEngine. The computing is done by job workers, wherever they run."""

    def __init__(self, settings: Settings) -> None:
        """Raises InvalidArgument for a URL that is none of a database: a mistake, which waiting does not mend."""
        database_url(settings)
        self._settings = settings
        self._pool = Pool(_THREADS, "jobs")
        self._database: Database | None = None
        self._artefacts: Artefacts | None = None
        self._stopped = False
        self._opened = False
        self.trouble: ActionLensError | None = None
        """Why the last `start`, or the last `probe`, failed."""

    @property
    def database(self) -> Database:
        """The open database. Raises Unavailable before `start` has succeeded, with the reason of the failure, and after
        `stop`."""
        if self._database is not None:
            return self._database
        if self.trouble is None:
            raise Unavailable("jobs are not running")
        why = self.trouble
        raise Unavailable(f"jobs are not available: {why.message}", reason=why.reason, retry_after=_RETRY_SECONDS)

    def is_lost(self) -> bool:
        """Whether the database must be opened again before it can be of use: its file is damaged, or gone."""
        return self.trouble is not None and self.trouble.reason in _LOST

    async def start(self) -> None:
        """See JobEngine. After a failure it may be called again."""
        try:
            await self._pool.run(self._open)
        except Unavailable as error:
            self.trouble = error
            raise
        self.trouble = None

    def _open(self) -> None:
        self._check()
        self._artefacts = Artefacts(self._settings)
        database = Database.open(self._settings, create=not self._opened)
        self._opened = True
        if self._stopped:  # while it was being opened
            database.close()
        else:
            self._database = database

    async def probe(self) -> None:
        """Find out whether jobs could be taken now; `trouble` says why not. Raises as `counts` does. Once lost, it is
        lost until it is opened again."""
        try:
            if self.trouble is not None and self.is_lost():
                raise self.trouble
            await self._run(Database.probe)
        except ActionLensError as error:
            self.trouble = error
            raise
        self.trouble = None

    async def check(self) -> None:
        """Have a SQLite file read for damage. Raises Unavailable, as `trouble` says from then on."""
        try:
            await self._pool.run(self._check)
        except Unavailable as error:
            self.trouble = error
            raise

    def _check(self) -> None:
        url = database_url(self._settings)
        if url.get_backend_name() == "sqlite" and not check(path := Path(url.database or "")):
            get_logger().warning("the database of jobs is large, and was not checked to its end", path=str(path))

    async def let_go(self) -> None:
        """Close a database that is lost; `start` opens it again, and makes no new one in its place."""
        database, self._database = self._database, None
        if database is not None:
            await asyncio.to_thread(database.close)

    async def stop(self) -> None:
        """See JobEngine."""
        self._stopped = True
        database, self._database = self._database, None
        if database is not None:
            await asyncio.to_thread(database.close)
        self._pool.close()

    async def create(
        self, request: job_pb2.CreateJobRequest, complete: Complete | None = None
    ) -> tuple[job_pb2.Job, bool]:
        """See JobEngine."""
        return await self._run(lambda database: submit(database, self._blobs(), request, self._settings.jobs, complete))

    async def get(self, identifier: str) -> job_pb2.Job:
        """See JobEngine."""
        return await self._run(lambda database: queries.job(database, self._settings.jobs, identifier))

    async def list(self, request: job_pb2.ListJobsRequest) -> job_pb2.ListJobsResponse:
        """See JobEngine."""
        return await self._run(lambda database: queries.jobs(database, self._settings.jobs, request))

    async def clips(self, request: job_pb2.ListJobClipsRequest) -> job_pb2.ListJobClipsResponse:
        """See JobEngine."""
        return await self._run(lambda database: queries.clips(database, request))

    async def clip(self, identifier: str, clip: int) -> job_pb2.JobClipStatus:
        """See JobEngine."""
        return await self._run(lambda database: queries.clip_status(queries.clip(database, identifier, clip)))

    async def watch(self, request: job_pb2.WatchJobRequest) -> AsyncIterator[job_pb2.WatchJobResponse]:
        """See JobEngine."""
        sent, partial = None, ""
        while True:
            now, name = await self._run(lambda database: queries.progress(database, self._settings.jobs, request.id))
            update = job_pb2.WatchJobResponse()
            update.CopyFrom(now)
            if request.partial_results:
                await self._run(lambda database: actions.want_partial(database, request.id))
                if name != partial and (explanation := await self._partial(name)) is not None:
                    update.partial.CopyFrom(explanation)
                    partial = name
            if now != sent or update.HasField("partial"):
                yield update
                sent = now
            if now.job.state in queries.ENDED:
                return
            await asyncio.sleep(_WATCH_SECONDS)

    async def cancel(self, identifier: str) -> job_pb2.Job:
        """See JobEngine."""
        await self._run(lambda database: actions.cancel(database, identifier))
        return await self.get(identifier)

    async def retry(self, identifier: str) -> job_pb2.Job:
        """See JobEngine."""
        await self._run(lambda database: actions.retry(database, identifier))
        return await self.get(identifier)

    async def delete(self, identifier: str) -> None:
        """See JobEngine."""
        await self._run(lambda database: actions.delete(database, self._blobs(), identifier))

    async def result(self, identifier: str, clip: int) -> answer_pb2.Answer:
        """See JobEngine."""

        def work(database: Database) -> answer_pb2.Answer:
            row = queries.clip(database, identifier, clip)
            if row.state != job_pb2.CLIP_STATE_SUCCEEDED:
                raise _no_result(identifier, clip, row)
            _check_kept(identifier, row)
            return answer_pb2.Answer.FromString(self._blobs().read(row.result))

        return await self._run(work)

    async def source(self, identifier: str, clip: int) -> clip_pb2.Clip:
        """See JobEngine."""

        def work(database: Database) -> clip_pb2.Clip:
            row = queries.clip(database, identifier, clip)
            if row.path is None:
                _check_kept(identifier, row)
            return read_clip(self._settings, database, self._blobs(), row, "clip")

        return await self._run(work)

    async def counts(self) -> Counts:
        """All jobs in numbers, for metrics."""
        return await self._run(queries.counts)

    async def _partial(self, name: str) -> explanation_pb2.Explanation | None:
        def work(_: Database) -> explanation_pb2.Explanation | None:
            try:
                return explanation_pb2.Explanation.FromString(self._blobs().read(name)) if name else None
            except NotFound:  # a later one has replaced it
                return None

        return await self._run(work)

    async def _run(self, work: Callable[[Database], T]) -> T:
        database = self.database
        try:
            result, _, _ = await self._pool.run(lambda: work(database))
        except DBAPIError as error:
            found = reported(error)
            get_logger().warning("a call for jobs failed", error=str(found))
            if found.reason == DAMAGED:
                self.trouble = found
            raise found from error
        except PoolTimeout as error:
            raise Unavailable("the job database is overloaded; try again", retry_after=1.0) from error
        return result

    def _blobs(self) -> Artefacts:
        assert self._artefacts is not None
        return self._artefacts


def _no_result(identifier: str, clip: int, row: sa.Row[Any]) -> FailedPrecondition:
    state = job_pb2.ClipState.Name(row.state).removeprefix("CLIP_STATE_").lower()
    why = ""
    if row.failure:
        why = f": {explanation_pb2.Failure.FromString(row.failure).message}"
    return FailedPrecondition(
        f"clip: clip {clip} of job {identifier} has no result, it is {state}{why}",
        field="clip",
        reason="CLIP_FAILED" if row.failure else "NOT_FINISHED",
    )


def _check_kept(identifier: str, row: sa.Row[Any]) -> None:
    if row.expired:
        day = time.strftime("%Y-%m-%d", time.gmtime(row.ended))
        raise NotFound(
            f"clip: what job {identifier} of {day} stored has expired; submit it again", field="clip", reason="EXPIRED"
        )
