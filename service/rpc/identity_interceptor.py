"""Finds out who makes each RPC, before anything is read or counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from service.errors import ActionLensError
from service.identity.access import ACCESS, NOBODY
from service.identity.authenticator import Authenticator, refused
from service.identity.current_caller import Caller, anybody, set_caller


class IdentityInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Knows the caller from the token in the metadata or else from the client's certificate.

    Runs outside of all others and refuses nobody: that is the guard's, whose errors become statuses.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of one call, a coroutine function."""
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None
        header = _authorization(handler_call_details.invocation_metadata)
        credential = anybody
        if not ACCESS.get(handler_call_details.method, NOBODY).is_open(self._authenticator.settings):
            try:
                credential = await self._authenticator.by_header(header)
            except ActionLensError as error:
                credential = refused(error)
        behaviour = behaviour_of(handler)

        async def wrapped(request: Any, context: Any) -> Any:
            shown = self._authenticator.by_certificate(context.auth_context()) if header is None else None
            set_caller(Caller(shown or credential, context.peer()))
            return await behaviour(request, context)

        return with_behaviour(handler, wrapped)


def handler_kind(handler: Any) -> str:
    """Which of the four kinds of RPC a handler is of: "unary_stream"."""
    incoming = "stream" if handler.request_streaming else "unary"
    return f"{incoming}_{'stream' if handler.response_streaming else 'unary'}"


def behaviour_of(handler: Any) -> Any:
    """What a handler runs for a call."""
    return getattr(handler, handler_kind(handler))


def with_behaviour(handler: Any, behaviour: Any) -> Any:
    """The handler that runs this instead, a coroutine function."""
    make = getattr(grpc, f"{handler_kind(handler)}_rpc_method_handler")
    return make(behaviour, handler.request_deserializer, handler.response_serializer)


def _authorization(metadata: Any) -> str | None:
    return next((str(value) for key, value in metadata or () if key == "authorization"), None)
