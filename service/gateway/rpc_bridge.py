"""Finds the RPCs of the services by name, and runs them without gRPC."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from service.errors import NotFound


@dataclass(frozen=True, slots=True)
class Rpc:
    """One RPC: its description and the servicer's method."""

    method: MethodDescriptor
    behaviour: Callable[[Any, Any], Any]

    @property
    def streaming(self) -> bool:
        """Whether it needs a socket: messages flow for a while, in one direction at least."""
        return bool(self.method.client_streaming or self.method.server_streaming)

    async def answer(self, request: Message) -> Message:
        """Run a unary call. Raises ActionLensError."""
        response: Message = await self.behaviour(request, BridgeContext(None))
        return response

    async def run(self, requests: AsyncIterator[Message], send: Callable[[Message], Awaitable[None]]) -> None:
        """Run a streaming call to its end. Raises ActionLensError."""
        request: Any = requests
        if not self.method.client_streaming:
            request = await anext(requests, None)
            if request is None:
                return
        if not inspect.isasyncgenfunction(self.behaviour):
            await self.behaviour(request, BridgeContext(send))
            return
        async with aclosing(self.behaviour(request, BridgeContext(None))) as responses:
            async for response in responses:
                await send(response)


class RpcBridge:
    """The RPCs of some servicers by their names, "ExplainClip"."""

    def __init__(self, *servicers: tuple[ServiceDescriptor, object]) -> None:
        self._known = {
            method.name: Rpc(method, getattr(servicer, method.name))
            for service, servicer in servicers
            for method in service.methods
        }

    def find(self, name: str, *, streaming: bool) -> Rpc:
        """Find an RPC that streams, or one that does not. Raises NotFound with the names that there are."""
        call = self._known.get(name)
        if call is None or call.streaming != streaming:
            names = ", ".join(sorted(key for key, known in self._known.items() if known.streaming == streaming))
            transport = "as WebSockets" if streaming else "by POST"
            raise NotFound(f"{name[:100]}: is no call; {transport} there are {names}", reason="UNKNOWN_CALL")
        return call


class BridgeContext:
    """Gives servicers as much of a gRPC context as they use."""

    def __init__(self, write: Callable[[Message], Awaitable[None]] | None) -> None:
        self._write = write

    def time_remaining(self) -> None:
        """Return None: a browser sets no deadline, and the service's own holds."""

    async def write(self, message: Message) -> None:
        """Send one message of a streaming answer."""
        assert self._write is not None, "a unary call writes nothing"
        await self._write(message)
