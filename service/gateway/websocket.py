"""Runs one streaming call over a WebSocket: protobuf messages as binary frames, one text frame for an error."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable

from google.protobuf.message import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from service.errors import ActionLensError, DeadlineExceeded, InvalidArgument
from service.gateway.rpc_bridge import Rpc
from service.ingress.caller import Caller
from service.ingress.ingress import Ingress
from service.ingress.quotas import Kind
from service.telemetry.log import get_logger

# Requests that wait for a call that is not reading; the socket's own flow control holds the rest back.
_WAITING = 4
_NORMAL, _GONE, _ENDED_WITH_ERROR = 1000, 1006, 4000


async def serve_socket(socket: WebSocket, call: Rpc, ingress: Ingress, caller: Caller, patience: float) -> None:
    """Run the call over an accepted socket, and close it. patience: seconds that the browser may take to accept a
    message; then it counts as gone."""
    inbox: asyncio.Queue[Message | ActionLensError] = asyncio.Queue(_WAITING)
    running = asyncio.create_task(_run(socket, call, _requests(inbox, ingress.first_seconds), patience))
    reading = asyncio.create_task(_read(socket, call, inbox, ingress, caller))
    try:
        await asyncio.wait((running, reading), return_when=asyncio.FIRST_COMPLETED)
    finally:
        # The reader ends only when the browser has left.
        for task in (running, reading):
            task.cancel()
        await asyncio.gather(running, reading, return_exceptions=True)


def error_document(error: ActionLensError) -> dict[str, object]:
    """Make an error JSON for the page."""
    return {
        "code": error.code.name,
        "message": error.message,
        "field": error.field,
        "reason": error.reason,
        "retry_after": error.retry_after,
    }


def incident_error(name: str) -> ActionLensError:
    """Log the exception being handled, and make an error that says no more than its incident number."""
    incident = uuid.uuid4().hex[:12]
    get_logger().exception("a call of the page failed with a bug", incident=incident, method=name)
    return ActionLensError(f"internal error; incident {incident}")


async def _run(socket: WebSocket, call: Rpc, requests: AsyncIterator[Message], patience: float) -> None:
    async def send(message: Message) -> None:
        await _within(socket.send_bytes(message.SerializeToString()), patience)

    error: ActionLensError | None = None
    try:
        await call.run(requests, send)
    except WebSocketDisconnect:
        return
    except ActionLensError as wrong:
        error = wrong
    except Exception:
        error = incident_error(call.method.name)
    if error is not None:
        await _within(socket.send_text(json.dumps(error_document(error))), patience)
    await _within(socket.close(_NORMAL if error is None else _ENDED_WITH_ERROR), patience)


async def _within(sending: Awaitable[None], patience: float) -> None:
    """Send within `patience` seconds. Raises WebSocketDisconnect also when the browser does not accept it in time."""
    try:
        async with asyncio.timeout(patience):
            await sending
    except TimeoutError:
        raise WebSocketDisconnect(_GONE) from None


async def _read(
    socket: WebSocket,
    call: Rpc,
    inbox: asyncio.Queue[Message | ActionLensError],
    ingress: Ingress,
    caller: Caller,
) -> None:
    while True:
        frame = await socket.receive()
        if frame["type"] == "websocket.disconnect":
            return
        data = frame.get("bytes")
        if data is None:
            await inbox.put(
                InvalidArgument(
                    "message: is text; send protobuf messages as binary frames",
                    field="message",
                    reason="MESSAGE_UNREADABLE",
                )
            )
            continue
        entry: Message | ActionLensError
        try:
            with ingress.quotas.holding(Kind.BYTES, caller, len(data)):
                entry = await ingress.parser.parse(call.method.input_type, data, caller.principal)
        except ActionLensError as error:
            entry = error
        await inbox.put(entry)


async def _requests(inbox: asyncio.Queue[Message | ActionLensError], patience: float) -> AsyncIterator[Message]:
    """The messages as they come, the first within `patience` seconds. Raises what the reader found wrong."""
    try:
        async with asyncio.timeout(patience):
            entry = await inbox.get()
    except TimeoutError:
        raise DeadlineExceeded(
            f"message: none came within {patience:g} s", field="message", reason="MESSAGE_LATE"
        ) from None
    while True:
        if isinstance(entry, ActionLensError):
            raise entry
        yield entry
        entry = await inbox.get()
