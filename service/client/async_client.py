"""The asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, Unpack

import grpc

from actionlens.v1 import service_pb2, service_pb2_grpc
from service.client.channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT, open_channel
from service.client.core import ClientCore
from service.client.results import WindowResult
from service.client.stream_messages import FrameLike, StreamOptions, StreamQuestionOptions
from service.client.streams import ExplainedStream
from service.client.transports import AsyncioTransport


class AsyncClient(ClientCore):
    """A connection to a running service, for asyncio. Everything is as in `Client`, awaited.

    address: "host:port". timeout: seconds for every unary call, retries included. credentials: for TLS, as from
    `tls_credentials()`. token: for a service that wants to know who calls. Files are read on a thread. Close it, or
    use it as an async context manager, inside one event loop.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        credentials: grpc.ChannelCredentials | None = None,
        token: str = "",
    ) -> None:
        super().__init__(AsyncioTransport(address, timeout, credentials, token))
        self._token = token
        # It connects when the first stream is opened.
        self._streams = open_channel(address, credentials)

    def explain_stream(
        self, frames: Iterable[FrameLike] | AsyncIterable[FrameLike], **options: Unpack[StreamOptions]
    ) -> AsyncExplainedStream:
        """Explain a stream: `async for window in client.explain_stream(...)`. A source may block or be asynchronous."""
        stub = service_pb2_grpc.ExplanationServiceStub(self._streams)  # type: ignore[no-untyped-call]
        return AsyncExplainedStream(stub, frames, options, self.address, self._token)

    async def close(self) -> None:
        """Release the connection; calls in flight are cancelled."""
        await self._transport.close()
        self._streams.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncExplainedStream:
    """An ExplainedStream for `async for`: same options, same errors. Leaving `async with` ends it.

    It runs on threads of its own. grpc.aio reports a stream that the service ended while a frame was being written
    as INTERNAL, whatever the service said.
    """

    def __init__(
        self,
        stub: service_pb2_grpc.ExplanationServiceStub,
        frames: Iterable[FrameLike] | AsyncIterable[FrameLike],
        options: StreamOptions,
        address: str,
        token: str,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pulling: Future[FrameLike | None] | None = None
        self._source_lock = asyncio.Lock()  # held by one pull, or by the closing of the source
        self._closed = False
        self._source: AsyncIterator[FrameLike] | None = None
        if isinstance(frames, AsyncIterable):
            self._source = aiter(frames)
            frames = self._pulled(self._source)
        self._stream = ExplainedStream(stub, frames, options, address, token)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="stream")

    @property
    def opened(self) -> service_pb2.StreamOpened | None:
        """The stream as the service opened it; None until it did."""
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
            async with self._source_lock:
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
            async with self._source_lock:
                return await anext(source, None)

        while True:
            self._pulling = asyncio.run_coroutine_threadsafe(pull(), self._loop)
            if self._closed:  # meanwhile, on the loop's thread, which saw the one before
                self._pulling.cancel()
            frame = self._pulling.result()
            if frame is None:
                return
            yield frame
