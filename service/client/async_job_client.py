"""Jobs, as coroutines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Unpack

from actionlens.v1 import answer_pb2, job_pb2, job_pb2_grpc, method_pb2
from service.client.job_requests import (
    ENDED,
    Downloaded,
    JobClips,
    JobFilter,
    JobOptions,
    PlanOptions,
    clips_request,
    download_request,
    downloaded,
    job_request,
    list_request,
    plan_request,
)
from service.client.method_messages import MethodLike
from service.client.polling import JobPolling
from service.client.results import Result
from service.client.transports import Transport
from service.errors import DeadlineExceeded, Unavailable

JobCallback = Callable[[job_pb2.WatchJobResponse], None]


class AsyncJobs:
    """Jobs, awaited: `client.jobs` of an AsyncClient, and what `Jobs` runs."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._stub = job_pb2_grpc.ExplanationJobServiceStub(transport.channel)  # type: ignore[no-untyped-call]

    async def submit(
        self, clips: JobClips, method: MethodLike, *, timeout: float | None = None, **options: Unpack[JobOptions]
    ) -> job_pb2.Job:
        """See Jobs.submit."""
        request = await self._transport.work(job_request, clips, method, options)
        response: job_pb2.CreateJobResponse = await self._transport.unary(self._stub.CreateJob, request, timeout)
        return response.job

    async def plan(self, method: method_pb2.Method, **options: Unpack[PlanOptions]) -> job_pb2.EvaluationPlan:
        """See Jobs.plan."""
        request = plan_request(method, options)
        response: job_pb2.PlanEvaluationResponse = await self._transport.unary(self._stub.PlanEvaluation, request)
        return response.plan

    async def get(self, identifier: str) -> job_pb2.Job:
        """See Jobs.get."""
        request = job_pb2.GetJobRequest(id=identifier)
        response: job_pb2.GetJobResponse = await self._transport.unary(self._stub.GetJob, request)
        return response.job

    async def list(self, **options: Unpack[JobFilter]) -> AsyncGenerator[job_pb2.Job]:
        """See Jobs.list."""
        request = list_request(options)
        while True:
            page: job_pb2.ListJobsResponse = await self._transport.unary(self._stub.ListJobs, request)
            for job in page.jobs:
                yield job
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def clips(self, identifier: str, states: Sequence[str] = ()) -> AsyncGenerator[job_pb2.JobClipStatus]:
        """See Jobs.clips."""
        request = clips_request(identifier, states)
        while True:
            page: job_pb2.ListJobClipsResponse = await self._transport.unary(self._stub.ListJobClips, request)
            for clip in page.clips:
                yield clip
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def watch(self, identifier: str, *, partial_results: bool = False) -> AsyncGenerator[job_pb2.WatchJobResponse]:
        """See Jobs.watch."""
        request = job_pb2.WatchJobRequest(id=identifier, partial_results=partial_results)
        return self._transport.stream(self._stub.WatchJob, request)

    async def wait(
        self, identifier: str, *, progress: JobCallback | None = None, timeout: float | None = None
    ) -> job_pb2.Job:
        """See Jobs.wait."""
        polling = JobPolling(identifier, timeout)
        while True:
            request = job_pb2.WatchJobRequest(id=identifier)
            try:
                async with aclosing(self._transport.stream(self._stub.WatchJob, request, polling.left())) as updates:
                    async for update in updates:
                        polling.answered()
                        if progress is not None:
                            progress(update)
                        job: job_pb2.Job = update.job
                        if job.state in ENDED:
                            return job
            except Unavailable as error:
                polling.unanswered(error)
            except DeadlineExceeded:
                polling.left()
                raise
            await self._transport.sleep(polling.pause())

    async def cancel(self, identifier: str) -> job_pb2.Job:
        """See Jobs.cancel."""
        request = job_pb2.CancelJobRequest(id=identifier)
        response: job_pb2.CancelJobResponse = await self._transport.unary(self._stub.CancelJob, request)
        return response.job

    async def retry(self, identifier: str) -> job_pb2.Job:
        """See Jobs.retry."""
        request = job_pb2.RetryJobRequest(id=identifier)
        response: job_pb2.RetryJobResponse = await self._transport.unary(self._stub.RetryJob, request)
        return response.job

    async def delete(self, identifier: str) -> None:
        """See Jobs.delete."""
        await self._transport.unary(self._stub.DeleteJob, job_pb2.DeleteJobRequest(id=identifier))

    async def result(self, identifier: str, clip: int = 0) -> Result:
        """See Jobs.result."""
        return Result(answer_pb2.Answer.FromString((await self.download(identifier, clip, "answer")).data))

    async def download(self, identifier: str, clip: int = 0, form: str = "npz") -> Downloaded:
        """See Jobs.download."""
        request = download_request(identifier, clip, form)
        return downloaded([message async for message in self._transport.stream(self._stub.DownloadResult, request)])
