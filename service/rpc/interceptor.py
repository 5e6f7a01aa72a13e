"""Turns the errors of every RPC, unary or streaming, into statuses, and measures the call."""

from __future__ import annotations

import asyncio
import inspect
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from service.errors import ActionLensError
from service.rpc.status import abort
from service.telemetry.log import get_logger
from service.telemetry.metrics import Metrics
from service.telemetry.spans import caller

# The names that go-grpc-prometheus gave them, which dashboards know.
_TYPES = {
    "unary_unary": "unary",
    "stream_unary": "client_stream",
    "unary_stream": "server_stream",
    "stream_stream": "bidi_stream",
}


class ClientGone(Exception):
    """The client left, and gRPC has not yet cancelled the call."""


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Turns ActionLensError into its status with details and any other exception into INTERNAL with an incident id.

    Counts and times the call for grpc_server_* metrics. Covers the four kinds of RPC, and handlers written as async
    generators as well as those that call context.write.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = get_logger()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of one call; calls of unknown methods have none."""
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None
        service, _, method = handler_call_details.method.strip("/").rpartition("/")
        kind = _kind(handler)
        call = (_TYPES[kind], service, method)
        behaviour = getattr(handler, kind)
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        wrap = self._wrap_generator if inspect.isasyncgenfunction(behaviour) else self._wrap_coroutine
        return make(wrap(behaviour, call), handler.request_deserializer, handler.response_serializer)

    def _wrap_coroutine(self, behaviour: Any, call: tuple[str, str, str]) -> Any:
        async def wrapped(request: Any, context: Any) -> Any:
            async with self._around(call, context) as counted:
                response = await behaviour(counted.incoming(request), counted)
                counted.sent += response is not None
                return response

        return wrapped

    def _wrap_generator(self, behaviour: Any, call: tuple[str, str, str]) -> Any:
        async def wrapped(request: Any, context: Any) -> AsyncIterator[Any]:
            async with self._around(call, context) as counted:
                async for response in behaviour(counted.incoming(request), counted):
                    counted.sent += 1
                    yield response

        return wrapped

    @asynccontextmanager
    async def _around(self, call: tuple[str, str, str], context: Any) -> AsyncIterator[_CountingContext]:
        counted = _CountingContext(context)
        started = time.monotonic()
        self._metrics.rpcs.started(call)
        code = grpc.StatusCode.OK
        try:
            try:
                with caller(_text(context.invocation_metadata())):
                    yield counted
            except (grpc.aio.AbortError, asyncio.CancelledError):
                raise
            except ClientGone:
                raise asyncio.CancelledError from None
            except ActionLensError as error:
                await self._abort(context, error)
            except Exception:
                incident = uuid.uuid4().hex[:12]
                self._log.exception("a call failed with a bug", incident=incident, method="/".join(call[1:]))
                await self._abort(context, ActionLensError(f"internal error; incident {incident}"), incident)
            code = context.code() or code
        except grpc.aio.AbortError:
            code = context.code()
            raise
        except asyncio.CancelledError:
            left = context.time_remaining()
            late = left is not None and left <= 0
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            raise
        finally:
            name = code.name if isinstance(code, grpc.StatusCode) else str(code)
            self._metrics.rpcs.ended(call, name, time.monotonic() - started, counted.received, counted.sent)

    async def _abort(self, context: Any, error: ActionLensError, incident: str = "") -> None:
        try:
            await abort(context, error, incident)
        except grpc.aio.AbortError:
            raise
        except Exception:
            # The status cannot go out after a message that the client does not take. Ending the call as cancelled
            # resets it; the client reads CANCELLED.
            self._log.warning("a client could not be sent the reason why its call ended", reason=error.reason)
            raise asyncio.CancelledError from None


class _CountingContext:
    """A call's context that counts the messages; everything else is the context's own."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.received = 0
        self.sent = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def incoming(self, request: Any) -> Any:
        """The request, or the requests of a stream, counted."""
        if not hasattr(request, "__aiter__"):
            self.received += 1
            return request
        return self._count(request)

    async def _count(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            self.received += 1
            yield request

    async def read(self) -> Any:
        """As the context's, counted."""
        message = await self._context.read()
        self.received += message is not grpc.aio.EOF  # type: ignore[attr-defined]
        return message

    async def write(self, message: Any) -> None:
        """As the context's, counted. Raises ClientGone when the call is over."""
        try:
            await self._context.write(message)
        except grpc.aio.AbortError:
            raise
        except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
            raise ClientGone from error
        self.sent += 1


def _text(metadata: Any) -> dict[str, str]:
    return {key: value for key, value in metadata or () if isinstance(value, str)}


def _kind(handler: Any) -> str:
    incoming = "stream" if handler.request_streaming else "unary"
    return f"{incoming}_{'stream' if handler.response_streaming else 'unary'}"
