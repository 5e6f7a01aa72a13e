"""The asyncio client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Any, Self, Unpack

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from actionlens.v1 import model_pb2, service_pb2, service_pb2_grpc
from service.client_channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT, channel_options
from service.client_clips import ClipLike, ClipOptions, QuestionOptions, clip_request
from service.client_errors import from_rpc
from service.client_frames import END, FrameLike, StreamOptions, frame_encoder, open_message, update_message
from service.client_result import Result, WindowResult
from service.client_stream import IDLE_TIMEOUT
from service.errors import DeadlineExceeded


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
        """Explain a stream; `async for window in client.explain_stream(...)`. A blocking source runs on a thread."""
        return AsyncExplainedStream(self._stub, frames, options, self.address)

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _unary(self, method: Any, request: Any, timeout: float | None) -> Any:
        try:
            return await method(request, timeout=self._timeout if timeout is None else timeout)
        except aio.AioRpcError as error:
            raise from_rpc(error, self.address) from None


class AsyncExplainedStream:
    """An ExplainedStream for `async for`: same options, same errors, same `summary`. Leaving `async with` ends it."""

    def __init__(
        self,
        stub: Any,
        frames: Iterable[FrameLike] | AsyncIterable[FrameLike],
        options: StreamOptions,
        address: str,
    ) -> None:
        self.opened: service_pb2.StreamOpened | None = None
        self.summary: service_pb2.StreamSummary | None = None
        self.sent = 0
        self._open = open_message(options)
        self._encode = frame_encoder(options)
        self._idle = options.get("idle_timeout", IDLE_TIMEOUT)
        self._address = address
        self._frames = frames
        self._call = stub.ExplainStream()
        self._updates: list[service_pb2.ExplainStreamRequest] = []
        self._changed = asyncio.Event()
        self._credit = 0
        self._heard = time.monotonic()
        self._ending = False
        self._failure: BaseException | None = None
        self._sender: asyncio.Task[None] | None = None

    async def __aiter__(self) -> AsyncIterator[WindowResult]:
        self._sender = asyncio.create_task(self._send())
        try:
            async for response in self._call:
                window = self._take(response)
                if window is not None:
                    yield window
        except aio.AioRpcError as error:
            raise self._failure or from_rpc(error, self._address) from None
        except asyncio.CancelledError:
            if self._failure is not None:
                raise self._failure from None
            raise
        finally:
            await self.close()
        if self._failure is not None:
            raise self._failure

    def update(self, **options: Unpack[QuestionOptions]) -> None:
        """Change target, contrast or methods for the following windows."""
        self._updates.append(update_message(options))

    def end(self) -> None:
        """Take no more frames; the windows that are due and the summary still come."""
        self._ending = True
        self._changed.set()

    async def close(self) -> None:
        """Drop the stream at once. Safe to call twice."""
        self._call.cancel()
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _take(self, response: service_pb2.ExplainStreamResponse) -> WindowResult | None:
        self._heard = time.monotonic()
        kind = response.WhichOneof("message")
        if kind == "opened":
            self.opened = response.opened
            self._credit += response.opened.credit
        elif kind == "credit":
            self._credit += response.credit.frames
        elif kind == "summary":
            self.summary = response.summary
        self._changed.set()
        return WindowResult.of(response.window) if kind == "window" else None

    async def _send(self) -> None:
        """Write the requests. An error is kept for the reader, and the call cancelled."""
        try:
            await self._call.write(self._open)
            async for frame in _async(self._frames):
                await self._wait(lambda: self._credit > 0 or self._ending, "no credit for more frames")
                while self._updates:
                    await self._call.write(self._updates.pop(0))
                if self._ending:
                    break
                self._credit -= 1
                self.sent += 1
                await self._call.write(self._encode(frame))
            await self._call.write(END)
            await self._wait(self._call.done, "no answer to the last frames")
        except (aio.AioRpcError, asyncio.InvalidStateError):
            # The call ended first; the reader has its status.
            return
        except Exception as error:
            self._failure = error
            self._call.cancel()

    async def _wait(self, ready: Callable[[], bool], owed: str) -> None:
        start = time.monotonic()
        while not ready():
            left = max(start, self._heard) + self._idle - time.monotonic()
            if left <= 0:
                raise DeadlineExceeded(f"{self._address}: {owed} for {self._idle:g} s; the service hangs or is cut off")
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                continue


async def _async(frames: Iterable[FrameLike] | AsyncIterable[FrameLike]) -> AsyncIterator[FrameLike]:
    if isinstance(frames, AsyncIterable):
        async for frame in frames:
            yield frame
        return
    source = iter(frames)
    done = object()
    while (item := await asyncio.to_thread(next, source, done)) is not done:
        yield item  # type: ignore[misc]
