"""Sends messages to the client of a stream: one at a time, and without waiting forever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from actionlens.v1 import service_pb2
from service.errors import DeadlineExceeded

Send = Callable[[service_pb2.ExplainStreamResponse], Awaitable[None]]


class ResponseSender:
    """Sends messages of several tasks. patience: seconds that the client may take to accept one."""

    def __init__(self, send: Send, patience: float) -> None:
        self._send = send
        self._patience = patience
        self._busy = asyncio.Lock()

    async def send(self, **message: object) -> None:
        """Send an ExplainStreamResponse with this field. Raises DeadlineExceeded when the client does not take it."""
        async with self._busy:
            try:
                async with asyncio.timeout(self._patience):
                    await self._send(service_pb2.ExplainStreamResponse(**message))  # type: ignore[arg-type]
            except TimeoutError:
                raise DeadlineExceeded(
                    f"the client took no answer for {self._patience:g} s", reason="CLIENT_NOT_READING"
                ) from None
