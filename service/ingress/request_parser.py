"""Parses requests: counted first, and the large ones beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from service.concurrency.thread_pool import Pool
from service.ingress.wire_counts import check_wire, unreadable

_SMALL_BYTES = 256 * 2**10
_THREADS = 4


class RequestParser:
    """Parses messages of any kind. Use from one event loop."""

    def __init__(self) -> None:
        self._pool = Pool(_THREADS, "parse")
        self._lines: dict[str, tuple[asyncio.Lock, int]] = {}

    async def parse(self, kind: Descriptor, data: bytes, principal: str) -> Message:
        """Parse a message off the wire. Raises InvalidArgument as `check_wire`, and for bytes that are none.

        One large message of a principal at a time, so that nobody takes all the threads.
        """
        if len(data) <= _SMALL_BYTES:
            return _parsed(kind, data)
        async with self._turn(principal):
            message, _, _ = await self._pool.run(lambda: _parsed(kind, data))
        return message

    def close(self) -> None:
        """Stop the threads."""
        self._pool.close()

    @asynccontextmanager
    async def _turn(self, principal: str) -> AsyncIterator[None]:
        lock, waiting = self._lines.get(principal, (asyncio.Lock(), 0))
        self._lines[principal] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            _, waiting = self._lines.pop(principal)
            if waiting > 1:
                self._lines[principal] = (lock, waiting - 1)


def _parsed(kind: Descriptor, data: bytes) -> Message:
    check_wire(data, kind)
    try:
        return message_factory.GetMessageClass(kind).FromString(data)
    except DecodeError:
        raise unreadable(len(data), kind) from None
