"""Puts the guard around every RPC of the gRPC port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from service.errors import ActionLensError
from service.identity.access import ACCESS, NOBODY
from service.identity.authenticator import Authenticator, refused
from service.identity.current_caller import Caller, anybody, set_caller
from service.identity.guard import Guard


class AccessInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Finds out who calls, from the token in the metadata or else from the client's certificate. Runs inside the
    interceptor that turns errors into statuses."""

    def __init__(self, authenticator: Authenticator, guard: Guard) -> None:
        self._authenticator = authenticator
        self._guard = guard

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of one call."""
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None
        name = handler_call_details.method
        streams = handler.request_streaming or handler.response_streaming
        kind = "_".join(
            "stream" if flag else "unary" for flag in (handler.request_streaming, handler.response_streaming)
        )
        guarded = self._guard.around(name, getattr(handler, kind), lasts=streams)
        header = _authorization(handler_call_details.invocation_metadata)
        credential = anybody
        if not ACCESS.get(name, NOBODY).is_open(self._guard.settings):
            try:
                credential = await self._authenticator.by_header(header)
            except ActionLensError as error:
                credential = refused(error)

        async def wrapped(request: Any, context: Any) -> Any:
            shown = self._authenticator.by_certificate(context.auth_context()) if header is None else None
            set_caller(Caller(shown or credential, context.peer()))
            return await guarded(request, context)

        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(wrapped, handler.request_deserializer, handler.response_serializer)


def _authorization(metadata: Any) -> str | None:
    return next((str(value) for key, value in metadata or () if key == "authorization"), None)
