"""Puts the guard around every RPC of the gRPC port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from service.identity.guard import Guard
from service.rpc.identity_interceptor import behaviour_of, with_behaviour


class AccessInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Lets calls through to the servicers, or not. Runs inside the interceptor that turns errors into statuses."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of one call; the wrapped one is a coroutine function, also of streams."""
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None
        streams = handler.request_streaming or handler.response_streaming
        guarded = self._guard.around(handler_call_details.method, behaviour_of(handler), lasts=streams)
        return with_behaviour(handler, guarded)
