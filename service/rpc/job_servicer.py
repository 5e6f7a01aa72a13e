"""Serves the jobs' RPCs: checks requests, hands them to the engine, answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

from actionlens.v1 import job_pb2, job_pb2_grpc
from service.backends.protocol import InferenceBackend
from service.concurrency.thread_pool import Pool
from service.dataplane.evaluation import plan_evaluation
from service.dataplane.served_models import ServedModels
from service.decoding.process.decoder import Decoder
from service.errors import ResourceExhausted, Unavailable
from service.identity.current_caller import current_principal
from service.ingress.quotas import MAX_WATCHERS
from service.jobs.downloads import make_download
from service.jobs.protocol import JobEngine
from service.jobs.requests import check_identifier, complete_job, complete_page
from service.jobs.store.queries import unknown_job
from service.validation.request import check_message
from service.validation.truth_checks import check_counts

JOB_SERVICE = "actionlens.v1.ExplanationJobService"
_MAX_DOWNLOADS = 4
_RETRY_SECONDS = 1.0


class ExplanationJobServicer(job_pb2_grpc.ExplanationJobServiceServicer):
    """Hands checked requests to the engine; the interceptor turns errors into statuses. root: the input root. decoder:
    of clips whose images are asked for."""

    def __init__(
        self, engine: JobEngine, served: ServedModels, backend: InferenceBackend, decoder: Decoder, root: Path | None
    ) -> None:
        self._engine = engine
        self._served = served
        self._backend = backend
        self._decoder = decoder
        self._root = root
        # Making one takes a clip's frames and their images in memory, so few are made at once; the rest wait.
        self._downloads = asyncio.Semaphore(_MAX_DOWNLOADS)
        self._pool = Pool(1, "download")
        self._watchers = 0
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """End the watches; jobs go on without them."""
        self._draining.set()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.close()

    async def CreateJob(self, request: job_pb2.CreateJobRequest, context: Any) -> job_pb2.CreateJobResponse:
        """See the proto."""
        request.tenant = current_principal().tenant_for(request.tenant)
        check_counts(request.clips)
        complete = partial(complete_job, served=self._served, root=self._root)
        job, created = await self._engine.create(request, complete)
        return job_pb2.CreateJobResponse(job=job, created=created)

    async def PlanEvaluation(
        self, request: job_pb2.PlanEvaluationRequest, context: Any
    ) -> job_pb2.PlanEvaluationResponse:
        """See the proto."""
        return await plan_evaluation(request, self._served, self._backend)

    async def GetJob(self, request: job_pb2.GetJobRequest, context: Any) -> job_pb2.GetJobResponse:
        """See the proto."""
        return job_pb2.GetJobResponse(job=await self._own(request.id))

    async def ListJobs(self, request: job_pb2.ListJobsRequest, context: Any) -> job_pb2.ListJobsResponse:
        """See the proto."""
        complete_page(request)
        principal = current_principal()
        if request.tenant:
            principal.tenant_for(request.tenant)
        return await self._engine.list(request, principal.own_tenants)

    async def ListJobClips(self, request: job_pb2.ListJobClipsRequest, context: Any) -> job_pb2.ListJobClipsResponse:
        """See the proto."""
        check_identifier(request.id)
        complete_page(request)
        await self._own(request.id)
        return await self._engine.clips(request)

    async def WatchJob(self, request: job_pb2.WatchJobRequest, context: Any) -> AsyncIterator[job_pb2.WatchJobResponse]:
        """See the proto."""
        await self._own(request.id)
        if self._watchers >= MAX_WATCHERS:
            raise ResourceExhausted(
                f"{MAX_WATCHERS} watches are open already; GetJob tells the same", retry_after=_RETRY_SECONDS
            )
        self._watchers += 1
        try:
            async for response in self._until_draining(self._engine.watch(request)):
                yield response
        finally:
            self._watchers -= 1

    async def CancelJob(self, request: job_pb2.CancelJobRequest, context: Any) -> job_pb2.CancelJobResponse:
        """See the proto."""
        await self._own(request.id)
        return job_pb2.CancelJobResponse(job=await self._engine.cancel(request.id))

    async def RetryJob(self, request: job_pb2.RetryJobRequest, context: Any) -> job_pb2.RetryJobResponse:
        """See the proto."""
        await self._own(request.id)
        return job_pb2.RetryJobResponse(job=await self._engine.retry(request.id))

    async def DeleteJob(self, request: job_pb2.DeleteJobRequest, context: Any) -> job_pb2.DeleteJobResponse:
        """See the proto."""
        await self._own(request.id)
        await self._engine.delete(request.id)
        return job_pb2.DeleteJobResponse()

    async def DownloadResult(
        self, request: job_pb2.DownloadResultRequest, context: Any
    ) -> AsyncIterator[job_pb2.DownloadResultResponse]:
        """See the proto."""
        check_identifier(request.id)
        check_message(request)
        await self._own(request.id)
        async with self._downloads:
            download = await make_download(self._engine, self._pool, request, self._decoder)
        # Outside: a client that reads slowly must not hold up others.
        for message in download.messages():
            yield message

    async def _own(self, identifier: str) -> job_pb2.Job:
        """A job that the caller may see. Raises InvalidArgument, and NotFound for others' as for one that is not there:
        after the same look into the database, in the same words."""
        job = await self._engine.get(check_identifier(identifier))
        if not current_principal().has(job.tenant):
            raise unknown_job(identifier)
        return job

    async def _until_draining(
        self, updates: AsyncIterator[job_pb2.WatchJobResponse]
    ) -> AsyncIterator[job_pb2.WatchJobResponse]:
        async def following() -> job_pb2.WatchJobResponse | None:
            return await anext(updates, None)

        draining = asyncio.ensure_future(self._draining.wait())
        try:
            while True:
                update = asyncio.ensure_future(following())
                try:
                    await asyncio.wait((update, draining), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not update.done():
                        update.cancel()
                if not update.done():
                    raise Unavailable(
                        "the service is shutting down; the job goes on, watch it again", retry_after=_RETRY_SECONDS
                    )
                response = update.result()
                if response is None:
                    return
                yield response
        finally:
            draining.cancel()
