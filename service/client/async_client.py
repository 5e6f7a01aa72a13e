"""The asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, Unpack

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from actionlens.v1 import model_pb2, service_pb2, service_pb2_grpc
from service.client.async_job_client import AsyncJobs
from service.client.channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT, channel_options, open_channel
from service.client.clip_messages import ClipLike, ClipOptions, clip_request
from service.client.errors import from_rpc
from service.client.results import Result, WindowResult
from service.client.stream_messages import FrameLike, StreamOptions, StreamQuestionOptions
from service.client.streams import ExplainedStream
from service.telemetry.spans import calling


class AsyncClient:
    """A connection to a running service, for asyncio. Everything is as in `Client`, awaited.

    address: "host:port". timeout: seconds for every unary call, retries included. credentials: for TLS, as from
    grpc.ssl_channel_credentials(). Close it, or use it as an async context manager, inside one event loop.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.address = address
        self._timeout = timeout
        options = channel_options()
        self._channel = (
            aio.insecure_channel(address, options)
            if credentials is None
            else aio.secure_channel(address, credentials, options)
        )
        self._stub = service_pb2_grpc.ExplanationServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self.jobs = AsyncJobs(self._channel, self._unary, address)
        # It connects when the first stream is opened.
        self._streams = open_channel(address, credentials)

    async def explain_clip(
        self, clip: ClipLike, *, timeout: float | None = None, **options: Unpack[ClipOptions]
    ) -> Result:
        """Explain one clip; see Client.explain_clip. Files are read on a thread."""
        request = await asyncio.to_thread(clip_request, clip, options)
        response = await self._unary(self._stub.ExplainClip, request, timeout)
        return Result(response.answer)

    def explain_stream(
        self, frames: Iterable[FrameLike] | AsyncIterable[FrameLike], **options: Unpack[StreamOptions]
    ) -> AsyncExplainedStream:
        """Explain a stream: `async for window in client.explain_stream(...)`. A source may block or be asynchronous."""
        stub = service_pb2_grpc.ExplanationServiceStub(self._streams)  # type: ignore[no-untyped-call]
        return AsyncExplainedStream(stub, frames, options, self.address)

    async def list_models(self, *, timeout: float | None = None) -> list[model_pb2.Model]:
        """All models as served."""
        models: list[model_pb2.Model] = []
        token = ""
        while True:
            request = service_pb2.ListModelsRequest(page_token=token)
            page = await self._unary(self._stub.ListModels, request, timeout)
            models += page.models
            token = page.next_page_token
            if not token:
                return models

    async def get_model(self, name: str, version: str = "", *, timeout: float | None = None) -> model_pb2.Model:
        """One model as served. Raises NotFound."""
        request = service_pb2.GetModelRequest(name=name, version=version)
        model: model_pb2.Model = (await self._unary(self._stub.GetModel, request, timeout)).model
        return model

    async def health(self, service: str = "", *, timeout: float = 5.0) -> str:
        """ "SERVING" or "NOT_SERVING". Raises Unavailable when nobody answers."""
        response = await self._unary(self._health.Check, health_pb2.HealthCheckRequest(service=service), timeout)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))

    async def close(self) -> None:
        """Release the connection; calls in flight are cancelled."""
        await self._channel.close(None)
        self._streams.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _unary(self, method: Any, request: Any, timeout: float | None) -> Any:
        try:
            with calling(request) as metadata:
                return await method(request, timeout=self._timeout if timeout is None else timeout, metadata=metadata)
        except aio.AioRpcError as error:
            raise from_rpc(error, self.address) from None


class AsyncExplainedStream:
    """An ExplainedStream for `async for`: same options, same errors. Leaving `async with` ends it.

    It runs on threads of its own. grpc.aio would tell a stream that the service ended while a frame was being written
    as INTERNAL, whatever the service said.
    """

    def __init__(
        self,
        stub: service_pb2_grpc.ExplanationServiceStub,
        frames: Iterable[FrameLike] | AsyncIterable[FrameLike],
        options: StreamOptions,
        address: str,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pulling: Future[FrameLike | None] | None = None
        self._turn = asyncio.Lock()  # who runs the source: one pull, or its closing
        self._closed = False
        self._source: AsyncIterator[FrameLike] | None = None
        if isinstance(frames, AsyncIterable):
            self._source = aiter(frames)
            frames = self._pulled(self._source)
        self._stream = ExplainedStream(stub, frames, options, address)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="stream")

    @property
    def opened(self) -> service_pb2.StreamOpened | None:
        """What the service opened; None until it did."""
        return self._stream.opened

    @property
    def summary(self) -> service_pb2.StreamSummary | None:
        """The totals; None until the stream ended well."""
        return self._stream.summary

    @property
    def sent(self) -> int:
        """Frames sent so far."""
        return self._stream.sent

    async def __aiter__(self) -> AsyncIterator[WindowResult]:
        try:
            while not self._closed:
                window = await self._loop.run_in_executor(self._reader, next, self._stream, None)
                if window is None:
                    break
                yield window
        finally:
            await self.close()

    def update(self, **options: Unpack[StreamQuestionOptions]) -> None:
        """Change target, contrast, methods or budget for the following windows."""
        self._stream.update(**options)

    def end(self) -> None:
        """Take no more frames; the windows that are due and the summary still come."""
        self._stream.end()

    async def close(self) -> None:
        """Drop the stream at once, and close its source if that is an asynchronous generator. Safe to call twice."""
        self._closed = True
        self._stream.close()
        if self._pulling is not None:
            self._pulling.cancel()
        self._reader.shutdown(wait=False)
        if isinstance(self._source, AsyncGenerator):
            async with self._turn:
                await self._source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _pulled(self, source: AsyncIterator[FrameLike]) -> Iterator[FrameLike]:
        """Frames of an asyncio source, for the thread that sends them."""

        async def pull() -> FrameLike | None:
            async with self._turn:
                return await anext(source, None)

        while True:
            self._pulling = asyncio.run_coroutine_threadsafe(pull(), self._loop)
            if self._closed:  # meanwhile, on the loop's thread, which saw the one before
                self._pulling.cancel()
            frame = self._pulling.result()
            if frame is None:
                return
            yield frame
