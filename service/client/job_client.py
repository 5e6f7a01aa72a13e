"""Jobs from blocking code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Unpack

import grpc

from actionlens.v1 import answer_pb2, job_pb2, job_pb2_grpc
from service.client.errors import from_rpc
from service.client.job_requests import (
    ENDED,
    Downloaded,
    JobClips,
    JobFilter,
    JobOptions,
    clips_request,
    download_request,
    downloaded,
    job_request,
    list_request,
)
from service.client.method_messages import MethodLike
from service.client.polling import Waiting
from service.client.results import Result
from service.errors import DeadlineExceeded, Unavailable

Progress = Callable[[job_pb2.WatchJobResponse], None]


class Jobs:
    """Expensive explanations as durable jobs: `client.jobs`. Errors are those of Client.explain_clip.

    unary: calls a method of the stub with a request, as Client does.
    """

    def __init__(self, channel: grpc.Channel, unary: Callable[[Any, Any, float | None], Any], address: str) -> None:
        self._stub = job_pb2_grpc.ExplanationJobServiceStub(channel)  # type: ignore[no-untyped-call]
        self._unary = unary
        self._address = address

    def submit(
        self, clips: JobClips, method: MethodLike, *, timeout: float | None = None, **options: Unpack[JobOptions]
    ) -> job_pb2.Job:
        """Have clips explained; returns at once with the accepted job. options: see JobOptions.

        method: as for live clips, "esv:samples=64". The clips are sent, unless they are ServerFiles.
        """
        request = job_request(clips, method, options)
        response: job_pb2.CreateJobResponse = self._unary(self._stub.CreateJob, request, timeout)
        return response.job

    def get(self, identifier: str) -> job_pb2.Job:
        """The job as it stands. Raises NotFound."""
        response: job_pb2.GetJobResponse = self._unary(self._stub.GetJob, job_pb2.GetJobRequest(id=identifier), None)
        return response.job

    def list(self, **options: Unpack[JobFilter]) -> Iterator[job_pb2.Job]:
        """Jobs, newest first. options: see JobFilter."""
        request = list_request(options)
        while True:
            page: job_pb2.ListJobsResponse = self._unary(self._stub.ListJobs, request, None)
            yield from page.jobs
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def clips(self, identifier: str, states: Sequence[str] = ()) -> Iterator[job_pb2.JobClipStatus]:
        """The clips of a job, in order; with states only those ("failed")."""
        request = clips_request(identifier, states)
        while True:
            page: job_pb2.ListJobClipsResponse = self._unary(self._stub.ListJobClips, request, None)
            yield from page.clips
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def watch(self, identifier: str, *, partial_results: bool = False) -> Iterator[job_pb2.WatchJobResponse]:
        """The job now and after every change, until it has ended."""
        request = job_pb2.WatchJobRequest(id=identifier, partial_results=partial_results)
        return self._stream(self._stub.WatchJob, request)

    def wait(self, identifier: str, *, progress: Progress | None = None, timeout: float | None = None) -> job_pb2.Job:
        """Wait until a job has ended, whatever its state then; a restart of the service is waited for too.

        progress: called with what `watch` gives. timeout: seconds. Raises DeadlineExceeded after it; the job goes on.
        """
        waiting = Waiting(identifier, timeout)
        while True:
            request = job_pb2.WatchJobRequest(id=identifier)
            try:
                for update in self._stream(self._stub.WatchJob, request, waiting.left()):
                    waiting.heard()
                    if progress is not None:
                        progress(update)
                    job: job_pb2.Job = update.job
                    if job.state in ENDED:
                        return job
            except Unavailable as error:
                waiting.bear(error)
            except DeadlineExceeded:
                waiting.left()
                raise
            time.sleep(waiting.pause())

    def cancel(self, identifier: str) -> job_pb2.Job:
        """Ask for the end of a job; finished clips keep their results."""
        request = job_pb2.CancelJobRequest(id=identifier)
        response: job_pb2.CancelJobResponse = self._unary(self._stub.CancelJob, request, None)
        return response.job

    def retry(self, identifier: str) -> job_pb2.Job:
        """Run the failed and cancelled clips of an ended job again. Raises FailedPrecondition when there are none."""
        response: job_pb2.RetryJobResponse = self._unary(
            self._stub.RetryJob, job_pb2.RetryJobRequest(id=identifier), None
        )
        return response.job

    def delete(self, identifier: str) -> None:
        """Remove an ended job and its results. Raises FailedPrecondition for one that has not ended."""
        self._unary(self._stub.DeleteJob, job_pb2.DeleteJobRequest(id=identifier), None)

    def result(self, identifier: str, clip: int = 0) -> Result:
        """A finished clip's answer. Raises FailedPrecondition when it is not finished, or failed, with the reason."""
        return Result(answer_pb2.Answer.FromString(self.download(identifier, clip, "answer").data))

    def download(self, identifier: str, clip: int = 0, form: str = "npz") -> Downloaded:
        """A finished clip's result as a file: "npz", "json", "mp4" (overlay), "png" (contact sheet) or "answer"."""
        return downloaded(list(self._stream(self._stub.DownloadResult, download_request(identifier, clip, form))))

    def _stream(self, method: Any, request: Any, timeout: float | None = None) -> Iterator[Any]:
        call = method(request, timeout=timeout)
        try:
            yield from call
        except grpc.RpcError as error:
            raise from_rpc(error, self._address) from None
        finally:
            call.cancel()
