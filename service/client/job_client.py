"""Jobs from blocking code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Unpack

from actionlens.v1 import job_pb2, method_pb2
from service.client.async_job_client import AsyncJobs, JobCallback
from service.client.job_requests import Downloaded, JobClips, JobFilter, JobOptions, PlanOptions
from service.client.method_messages import MethodLike
from service.client.results import Result
from service.client.transports import iterate, run


class Jobs:
    """Expensive explanations as durable jobs: `client.jobs`. Errors are those of Client.explain_clip."""

    def __init__(self, core: AsyncJobs) -> None:
        self._core = core

    def submit(
        self, clips: JobClips, method: MethodLike, *, timeout: float | None = None, **options: Unpack[JobOptions]
    ) -> job_pb2.Job:
        """Have clips explained; returns at once with the accepted job. options: see JobOptions.

        method: as for live clips, "esv:samples=64", or an `evaluation`, best with `ground_truth`. The clips are sent,
        unless they are ServerFiles.
        """
        return run(self._core.submit(clips, method, timeout=timeout, **options))

    def plan(self, method: method_pb2.Method, **options: Unpack[PlanOptions]) -> job_pb2.EvaluationPlan:
        """What an `evaluation` of one clip costs: clips through the network, by measure. Makes no job."""
        return run(self._core.plan(method, **options))

    def get(self, identifier: str) -> job_pb2.Job:
        """The job as it stands. Raises NotFound."""
        return run(self._core.get(identifier))

    def list(self, **options: Unpack[JobFilter]) -> Iterator[job_pb2.Job]:
        """Jobs, newest first. options: see JobFilter."""
        return iterate(self._core.list(**options))

    def clips(self, identifier: str, states: Sequence[str] = ()) -> Iterator[job_pb2.JobClipStatus]:
        """The clips of a job, in order; with states only those ("failed")."""
        return iterate(self._core.clips(identifier, states))

    def watch(self, identifier: str, *, partial_results: bool = False) -> Iterator[job_pb2.WatchJobResponse]:
        """The job now and after every change, until it has ended."""
        return iterate(self._core.watch(identifier, partial_results=partial_results))

    def wait(
        self, identifier: str, *, progress: JobCallback | None = None, timeout: float | None = None
    ) -> job_pb2.Job:
        """Wait until a job has ended, whatever its state then; a restart of the service is waited for too.

        progress: called with each update. timeout: seconds. Raises DeadlineExceeded after it; the job goes on.
        """
        return run(self._core.wait(identifier, progress=progress, timeout=timeout))

    def cancel(self, identifier: str) -> job_pb2.Job:
        """Ask for the end of a job; finished clips keep their results."""
        return run(self._core.cancel(identifier))

    def retry(self, identifier: str) -> job_pb2.Job:
        """Run the failed and cancelled clips of an ended job again. Raises FailedPrecondition when there are none."""
        return run(self._core.retry(identifier))

    def delete(self, identifier: str) -> None:
        """Remove an ended job and its results. Raises FailedPrecondition for one that has not ended."""
        run(self._core.delete(identifier))

    def result(self, identifier: str, clip: int = 0) -> Result:
        """A finished clip's answer. Raises FailedPrecondition when it is not finished, or failed, with the reason."""
        return run(self._core.result(identifier, clip))

    def download(self, identifier: str, clip: int = 0, form: str = "npz") -> Downloaded:
        """A finished clip's result as a file: "npz", "json", "mp4" (overlay), "png" (contact sheet) or "answer"."""
        return run(self._core.download(identifier, clip, form))
