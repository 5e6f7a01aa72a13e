"""Connects the coroutines of a client to the service: awaiting on an event loop, or blocking the calling thread.

The clients are written once, as coroutines. On `BlockingTransport` these never suspend, so `run` and `iterate` drive
them without an event loop: no thread, nothing to stop, and an event loop that runs in the calling thread (a notebook's)
is not touched. An event loop on a thread per blocking client would cost about 0.1 ms more per call.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import grpc
from grpc import aio

from service.client.channel import bearer, channel_options, open_channel
from service.client.errors import from_rpc
from service.telemetry.spans import calling

P = ParamSpec("P")
T = TypeVar("T")


class Transport(ABC):
    """A connection and a clock. timeout: seconds for a unary call that does not say, retries included. token: who
    calls."""

    def __init__(self, channel: Any, address: str, timeout: float, token: str) -> None:
        self._bearer = bearer(token)
        self.channel = channel
        self.address = address
        self._timeout = timeout

    async def unary(self, method: Any, request: Any, timeout: float | None = None) -> Any:
        """Call a unary method of a stub. Raises the domain error of the status."""
        try:
            with calling(request) as metadata:
                seconds = self._timeout if timeout is None else timeout
                return await self._call(method, request, timeout=seconds, metadata=(*(metadata or ()), *self._bearer))
        except grpc.RpcError as error:
            raise from_rpc(error, self.address) from None

    async def stream(self, method: Any, request: Any, timeout: float | None = None) -> AsyncGenerator[Any]:
        """Messages of a method that streams its response. Raises as `unary`; closing it cancels the call."""
        call = method(request, timeout=timeout, metadata=self._bearer)
        try:
            while (message := await self._read(call)) is not None:
                yield message
        except grpc.RpcError as error:
            raise from_rpc(error, self.address) from None
        finally:
            call.cancel()

    @abstractmethod
    async def work(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Call a function that may read files and takes its time."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait."""

    @abstractmethod
    async def close(self) -> None:
        """Release the connection; calls in flight are cancelled."""

    @abstractmethod
    async def _call(self, method: Any, request: Any, **options: Any) -> Any: ...

    @abstractmethod
    async def _read(self, call: Any) -> Any | None:
        """The next message of a stream; None after the last."""


class AsyncioTransport(Transport):
    """Suspends while it waits. Made and used inside one event loop."""

    def __init__(self, address: str, timeout: float, credentials: grpc.ChannelCredentials | None, token: str) -> None:
        options = channel_options()
        channel = (
            aio.insecure_channel(address, options)
            if credentials is None
            else aio.secure_channel(address, credentials, options)
        )
        super().__init__(channel, address, timeout, token)

    async def work(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        return await asyncio.to_thread(function, *arguments, **options)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        await self.channel.close(None)

    async def _call(self, method: Any, request: Any, **options: Any) -> Any:
        return await method(request, **options)

    async def _read(self, call: Any) -> Any | None:
        return await anext(aiter(call), None)


class BlockingTransport(Transport):
    """Blocks while it waits, so that its coroutines never suspend. Threads may share it."""

    def __init__(self, address: str, timeout: float, credentials: grpc.ChannelCredentials | None, token: str) -> None:
        super().__init__(open_channel(address, credentials), address, timeout, token)

    async def work(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        return function(*arguments, **options)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251, no event loop waits here

    async def close(self) -> None:
        self.channel.close()

    async def _call(self, method: Any, request: Any, **options: Any) -> Any:
        return method(request, **options)

    async def _read(self, call: Any) -> Any | None:
        return next(call, None)


def run(work: Awaitable[T]) -> T:
    """The result of a coroutine on a BlockingTransport, computed in the calling thread."""
    try:
        next(work.__await__())
    except StopIteration as done:
        result: T = done.value
        return result
    raise RuntimeError("a coroutine of the blocking client suspended")


def iterate(items: AsyncGenerator[T]) -> Iterator[T]:
    """The items of an asynchronous generator on a BlockingTransport, each when it is asked for."""
    try:
        while (item := run(anext(items, None))) is not None:
            yield item
    finally:
        run(items.aclose())
