"""Runs one streaming call over a WebSocket: protobuf messages as binary frames, one text frame for an error."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable

from google.protobuf.message import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from service.errors import ActionLensError, InvalidArgument
from service.gateway.rpc_bridge import Rpc
from service.telemetry.log import get_logger

# Requests that wait for a call that is not reading; the socket's own flow control holds the rest back.
_WAITING = 4
_NORMAL, _GONE, _ENDED_WITH_ERROR = 1000, 1006, 4000


async def serve_socket(socket: WebSocket, call: Rpc, patience: float) -> None:
    """Run the call over an accepted socket, and close it. patience: seconds that the browser may take to accept a
    message; then it counts as gone."""
    inbox: asyncio.Queue[Message | InvalidArgument] = asyncio.Queue(_WAITING)
    running = asyncio.create_task(_run(socket, call, inbox, patience))
    reading = asyncio.create_task(_read(socket, call, inbox))
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


async def _run(socket: WebSocket, call: Rpc, inbox: asyncio.Queue[Message | InvalidArgument], patience: float) -> None:
    async def send(message: Message) -> None:
        await _within(socket.send_bytes(message.SerializeToString()), patience)

    error: ActionLensError | None = None
    try:
        await call.run(_requests(inbox), send)
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


async def _read(socket: WebSocket, call: Rpc, inbox: asyncio.Queue[Message | InvalidArgument]) -> None:
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
        try:
            await inbox.put(call.parse(data))
        except InvalidArgument as error:
            await inbox.put(error)


async def _requests(inbox: asyncio.Queue[Message | InvalidArgument]) -> AsyncIterator[Message]:
    while True:
        entry = await inbox.get()
        if isinstance(entry, InvalidArgument):
            raise entry
        yield entry
