"""Lets every RPC in, unary or streaming, reads its requests, turns its errors into statuses, and measures it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from service.errors import ActionLensError, DeadlineExceeded, InvalidArgument
from service.identity.access import ACCESS, NOBODY, Access
from service.identity.current_caller import quota_holder
from service.identity.guard import Guard
from service.ingress.caller import Caller, grpc_caller
from service.ingress.ingress import Ingress
from service.ingress.quotas import Kind
from service.rpc.identity_interceptor import behaviour_of, handler_kind
from service.rpc.status import abort
from service.telemetry.log import get_logger
from service.telemetry.metrics import Metrics
from service.telemetry.spans import caller as tracing_caller

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

    Counts and times the call for grpc_server_* metrics. Covers the four kinds of RPC, whose handlers are coroutine
    functions. gRPC hands requests over as bytes, also of unary calls as a stream of them: so a call has its place
    before its request is read, what cannot be read is refused like any other mistake, and what comes from somebody whom
    the guard inside will refuse is not read at all.
    """

    def __init__(self, metrics: Metrics, ingress: Ingress, guard: Guard) -> None:
        self._metrics = metrics
        self._ingress = ingress
        self._guard = guard
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
        kind = handler_kind(handler)
        method = _describe(handler_call_details.method)
        call = (_TYPES[kind], method.containing_service.full_name, method.name)
        access = ACCESS.get(handler_call_details.method, NOBODY)
        behaviour = behaviour_of(handler)

        async def wrapped(_: Any, context: Any) -> Any:
            async with self._around(call, method, context) as counted:
                response = await behaviour(await self._request(counted, access), counted)
                counted.sent += response is not None
                return response

        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        return make(wrapped, None, handler.response_serializer)

    async def _request(self, counted: _CountingContext, access: Access) -> Any:
        try:
            self._guard.let_through(access)
        except ActionLensError:
            return counted.nothing()
        return await counted.request()

    @asynccontextmanager
    async def _around(
        self, call: tuple[str, str, str], method: MethodDescriptor, context: Any
    ) -> AsyncIterator[_CountingContext]:
        caller = quota_holder(grpc_caller(context.peer()))
        counted = _CountingContext(context, method, self._ingress, caller)
        started = time.monotonic()
        self._metrics.rpcs.started(call)
        code = grpc.StatusCode.OK
        try:
            try:
                async with counted.held, self._ingress.admitted(method, caller):
                    with tracing_caller(_text(context.invocation_metadata())):
                        yield counted
            except (grpc.aio.AbortError, asyncio.CancelledError):
                raise
            except ClientGone:
                raise asyncio.CancelledError from None
            except ActionLensError as error:
                if error.reason == "MESSAGE_UNREADABLE":
                    self._log.warning(
                        "a request could not be read", method="/".join(call[1:]), caller=caller.connection
                    )
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
    """A call's context that reads, counts and parses the messages; everything else is the context's own.

    held: until it is left, the bytes of the last request count as in work.
    """

    def __init__(self, context: Any, method: MethodDescriptor, ingress: Ingress, caller: Caller) -> None:
        self._context = context
        self._method = method
        self._ingress = ingress
        self._caller = caller
        self.held = AsyncExitStack()
        self.received = 0
        self.sent = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def request(self) -> Any:
        """The request of a unary call, or the requests of a stream as they come. Raises InvalidArgument,
        DeadlineExceeded and QuotaExceeded."""
        if self._method.client_streaming:
            return self._requests()
        message = await self.read()
        if message is grpc.aio.EOF:  # type: ignore[attr-defined]
            raise InvalidArgument(
                f"message: none came; send one {self._method.input_type.full_name}",
                field="message",
                reason="MESSAGE_MISSING",
            )
        return message

    def nothing(self) -> Any:
        """A request, or requests, of which nothing was read."""
        return _no_requests() if self._method.client_streaming else GetMessageClass(self._method.input_type)()

    async def _requests(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
            yield message

    async def read(self) -> Any:
        """The next request, parsed, or EOF. Raises as `request` does."""
        await self.held.aclose()
        data = await self._next()
        if data is grpc.aio.EOF:  # type: ignore[attr-defined]
            return data
        self.received += 1
        self.held.enter_context(self._ingress.quotas.holding(Kind.BYTES, self._caller, len(data)))
        return await self._ingress.parser.parse(self._method.input_type, data, self._caller.principal)

    async def _next(self) -> Any:
        if self.received:
            return await self._context.read()
        patience = self._ingress.first_seconds if self._method.client_streaming else self._ingress.receive_seconds
        try:
            async with asyncio.timeout(patience):
                return await self._context.read()
        except TimeoutError:
            raise DeadlineExceeded(
                f"message: none came within {patience:g} s", field="message", reason="MESSAGE_LATE"
            ) from None

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


async def _no_requests() -> AsyncIterator[Any]:
    return
    yield


def _describe(path: str) -> MethodDescriptor:
    """The description of an RPC that has a handler, "/package.Service/Method"."""
    service, _, method = path.strip("/").rpartition("/")
    found: MethodDescriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[method]
    return found
