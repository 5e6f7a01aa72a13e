"""A client of ExplainStream for tests: keeps its credit, and sorts what comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import grpc

from actionlens.v1 import method_pb2, service_pb2
from tests.service.backend import FRAMES
from tests.service.requests import Refusal, pixels, png, refusal
from tests.waiting import PATIENCE

T = TypeVar("T")

BLOCK, DROP = service_pb2.FILL_POLICY_BLOCK, service_pb2.FILL_POLICY_DROP_OLDEST
EVERY, NEWEST = service_pb2.CONSUME_POLICY_EVERY, service_pb2.CONSUME_POLICY_NEWEST


class StreamClient:
    """One open stream. windows: the answers so far; summary: set at the end."""

    def __init__(self, call: Any, opened: service_pb2.StreamOpened) -> None:
        self.call = call
        self.opened = opened
        self.credit = opened.credit
        self.windows: list[service_pb2.WindowAnswer] = []
        self.summary: service_pb2.StreamSummary | None = None
        self._more = asyncio.Event()
        self._failure: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._keep_status)
        self.reading = asyncio.ensure_future(self._read())

    @classmethod
    async def open(cls, stub: Any, *methods: method_pb2.Method, **fields: Any) -> StreamClient:
        call = stub.ExplainStream()
        await call.write(service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen(methods=methods, **fields)))
        first = await call.read()
        if first is grpc.aio.EOF:
            raise await failure(call)
        return cls(call, first.opened)

    async def send(self, number: int, **fields: Any) -> None:
        """Send a frame whose red is its number (mod 250), waiting for credit; 25 frames per second."""
        while self.credit == 0:
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), PATIENCE)
        self.credit -= 1
        await self.push(number, **fields)

    async def feed(self, numbers: Iterable[int], **fields: Any) -> StreamClient:
        """Send these frames and return the client itself."""
        for number in numbers:
            await self.send(number, **fields)
        return self

    async def push(self, number: int, **fields: Any) -> None:
        """The same without looking at the credit."""
        fields = {"image": png(number % 250), "sequence": number, "timestamp": number / 25} | fields
        if "raw" in fields:
            del fields["image"]
        await self._write(frame=service_pb2.StreamFrame(**fields))

    async def update(self, **fields: Any) -> None:
        await self._write(update=service_pb2.StreamUpdate(**fields))

    async def end(self) -> service_pb2.StreamSummary:
        """Say that no more frames come, and wait for the summary."""
        await self._write(end=service_pb2.StreamEnd())
        return await self.finish()

    async def finish(self) -> service_pb2.StreamSummary:
        """Wait for the summary. Raises AioRpcError when the stream failed."""
        await asyncio.wait_for(asyncio.shield(self.reading), PATIENCE)
        if self.summary is None:
            raise self._failure or await failure(self.call)
        return self.summary

    def _keep_status(self, call: Any) -> None:
        """Keep the status that the service sent.

        gRPC's asyncio client replaces it by INTERNAL when a message of ours fails because the call has ended
        (grpc/grpc#36066). Neither of the two orders loses it here: a status of the client's own has no trailers.
        """
        found = _at_once(failure(call))
        if self._failure is None or found.trailing_metadata():
            self._failure = found

    async def _write(self, **message: Any) -> None:
        """Send a message, unless the service has ended the call already; `finish` tells why."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self.call.write(service_pb2.ExplainStreamRequest(**message))

    async def _read(self) -> None:
        try:
            while (message := await self.call.read()) is not grpc.aio.EOF:
                match message.WhichOneof("message"):
                    case "window":
                        self.windows.append(message.window)
                    case "credit":
                        self.credit += message.credit.frames
                        self._more.set()
                    case "summary":
                        self.summary = message.summary
        except grpc.aio.AioRpcError:
            pass  # `finish` tells


async def failure(call: Any) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for: a finished call knows its status."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise AssertionError("the call is not finished")


async def refused(call: Any) -> Refusal:
    """Why a call ended that is expected to fail before its next message."""
    try:
        message = await call.read()
    except grpc.aio.AioRpcError as error:
        return refusal(error)
    assert message is grpc.aio.EOF, message
    return refusal(await failure(call))


def raw(red: int, side: int = 8) -> service_pb2.RawPicture:
    return service_pb2.RawPicture(data=pixels(red, side).tobytes(), height=side, width=side)


def exact(counts: service_pb2.FrameCounts) -> bool:
    """No frame is lost or counted twice."""
    drops = counts.dropped_stale + counts.dropped_full
    return counts.received == counts.used + drops + counts.rejected + counts.waiting


WINDOW = FRAMES
