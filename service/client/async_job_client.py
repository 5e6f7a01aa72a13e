"""Jobs from asyncio code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Unpack

from grpc import aio

from actionlens.v1 import answer_pb2, job_pb2, job_pb2_grpc
from service.client.errors import from_rpc
from service.client.job_client import Progress
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


class AsyncJobs:
    """Jobs, awaited: `client.jobs` of an AsyncClient. unary: calls a method of the stub with a request."""

    def __init__(
        self, channel: aio.Channel, unary: Callable[[Any, Any, float | None], Awaitable[Any]], address: str
    ) -> None:
        self._stub = job_pb2_grpc.ExplanationJobServiceStub(channel)  # type: ignore[no-untyped-call]
        self._unary = unary
        self._address = address

    async def submit(
        self, clips: JobClips, method: MethodLike, *, timeout: float | None = None, **options: Unpack[JobOptions]
    ) -> job_pb2.Job:
        """See Jobs.submit. Files are read on a thread."""
        request = await asyncio.to_thread(job_request, clips, method, options)
        response: job_pb2.CreateJobResponse = await self._unary(self._stub.CreateJob, request, timeout)
        return response.job

    async def get(self, identifier: str) -> job_pb2.Job:
        """See Jobs.get."""
        response: job_pb2.GetJobResponse = await self._unary(
            self._stub.GetJob, job_pb2.GetJobRequest(id=identifier), None
        )
        return response.job

    async def list(self, **options: Unpack[JobFilter]) -> AsyncIterator[job_pb2.Job]:
        """See Jobs.list."""
        request = list_request(options)
        while True:
            page: job_pb2.ListJobsResponse = await self._unary(self._stub.ListJobs, request, None)
            for job in page.jobs:
                yield job
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def clips(self, identifier: str, states: Sequence[str] = ()) -> AsyncIterator[job_pb2.JobClipStatus]:
        """See Jobs.clips."""
        request = clips_request(identifier, states)
        while True:
            page: job_pb2.ListJobClipsResponse = await self._unary(self._stub.ListJobClips, request, None)
            for clip in page.clips:
                yield clip
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def watch(self, identifier: str, *, partial_results: bool = False) -> AsyncIterator[job_pb2.WatchJobResponse]:
        """See Jobs.watch."""
        request = job_pb2.WatchJobRequest(id=identifier, partial_results=partial_results)
        return self._stream(self._stub.WatchJob, request)

    async def wait(
        self, identifier: str, *, progress: Progress | None = None, timeout: float | None = None
    ) -> job_pb2.Job:
        """See Jobs.wait."""
        waiting = Waiting(identifier, timeout)
        while True:
            request = job_pb2.WatchJobRequest(id=identifier)
            try:
                async for update in self._stream(self._stub.WatchJob, request, waiting.left()):
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
            await asyncio.sleep(waiting.pause())

    async def cancel(self, identifier: str) -> job_pb2.Job:
        """See Jobs.cancel."""
        request = job_pb2.CancelJobRequest(id=identifier)
        response: job_pb2.CancelJobResponse = await self._unary(self._stub.CancelJob, request, None)
        return response.job

    async def retry(self, identifier: str) -> job_pb2.Job:
        """See Jobs.retry."""
        response: job_pb2.RetryJobResponse = await self._unary(
            self._stub.RetryJob, job_pb2.RetryJobRequest(id=identifier), None
        )
        return response.job

    async def delete(self, identifier: str) -> None:
        """See Jobs.delete."""
        await self._unary(self._stub.DeleteJob, job_pb2.DeleteJobRequest(id=identifier), None)

    async def result(self, identifier: str, clip: int = 0) -> Result:
        """See Jobs.result."""
        return Result(answer_pb2.Answer.FromString((await self.download(identifier, clip, "answer")).data))

    async def download(self, identifier: str, clip: int = 0, form: str = "npz") -> Downloaded:
        """See Jobs.download."""
        request = download_request(identifier, clip, form)
        return downloaded([message async for message in self._stream(self._stub.DownloadResult, request)])

    async def _stream(self, method: Any, request: Any, timeout: float | None = None) -> AsyncIterator[Any]:
        call = method(request, timeout=timeout)
        try:
            async for message in call:
                yield message
        except aio.AioRpcError as error:
            raise from_rpc(error, self._address) from None
        finally:
            call.cancel()
