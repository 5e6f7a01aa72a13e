"""The narrow waist between the job service and whoever keeps and runs jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from actionlens.v1 import answer_pb2, clip_pb2, job_pb2

Complete = Callable[[job_pb2.CreateJobRequest], None]
"""Checks a new job and fills in, in place, the fields that it leaves open. Raises ActionLensError."""


class JobEngine(Protocol):
    """Keeps jobs and has them computed. Safe to use from many tasks of one event loop, and by several services at once.

    Requests that come in have been checked, limits kept.
    All but `create` raise NotFound (field "id") for a job that does not exist, or no longer.
    """

    async def start(self) -> None:
        """Open the database and the artefacts. Raises Unavailable when one cannot be opened."""

    async def stop(self) -> None:
        """Close them; accepted jobs stay and go on when a worker runs. Safe to call twice."""

    async def create(
        self, request: job_pb2.CreateJobRequest, complete: Complete | None = None
    ) -> tuple[job_pb2.Job, bool]:
        """Accept a job durably: when this returns, it survives any crash. Returns the job and whether it is new.

        complete: has names resolved and paths looked for below the input root, in a thread, since that takes a while
        for ten thousand clips; only when the tenant's request_id is not known. None: that has been done.

        Raises AlreadyExists when the tenant's request_id is known with another body, ResourceExhausted when too many
        jobs are queued or the disk is full, Unavailable when the database does not answer, and as `complete` does.
        """

    async def get(self, identifier: str) -> job_pb2.Job:
        """The job as it stands."""

    async def list(
        self, request: job_pb2.ListJobsRequest, tenants: Sequence[str] | None = None
    ) -> job_pb2.ListJobsResponse:
        """A page of jobs, newest first; with tenants only theirs. Raises InvalidArgument for a page token that
        is none."""

    async def clips(self, request: job_pb2.ListJobClipsRequest) -> job_pb2.ListJobClipsResponse:
        """A page of a job's clips, in order."""

    async def clip(self, identifier: str, clip: int) -> job_pb2.JobClipStatus:
        """One clip of a job. Raises NotFound (field "clip") for no such clip."""

    def watch(self, request: job_pb2.WatchJobRequest) -> AsyncIterator[job_pb2.WatchJobResponse]:
        """The job now and after every change; ends after the response with its last state."""

    async def cancel(self, identifier: str) -> job_pb2.Job:
        """Ask for the end of a job; ended jobs stay as they are."""

    async def retry(self, identifier: str) -> job_pb2.Job:
        """Queue the failed and cancelled clips of an ended job again. Raises FailedPrecondition when there are none."""

    async def delete(self, identifier: str) -> None:
        """Remove an ended job with its results. Raises FailedPrecondition for one that has not ended."""

    async def result(self, identifier: str, clip: int) -> answer_pb2.Answer:
        """A finished clip's answer. Raises NotFound (field "clip") for no such clip or an expired result,
        FailedPrecondition for one that is not finished, with its state, or that failed, with the reason."""

    async def source(self, identifier: str, clip: int) -> clip_pb2.Clip:
        """A clip as it was submitted, or read from its file. Raises NotFound as above, and when the file is gone."""
