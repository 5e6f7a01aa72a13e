"""The connections of an HTTP port: how many there may be, of whom, and how long one may say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from service.ingress.caller import http_caller

# Of the places of a port.
_PEER_SHARE = 0.25
_LEAST = 8


class Connections:
    """The open connections of a port.

    Where there is no room, of one peer or in all, the connection that has waited longest for its next request makes
    room: whoever says nothing keeps nobody out who does. Only when all are in a request is the new one closed.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_of_peer = max(_LEAST, round(_PEER_SHARE * most)) if most > _LEAST else most
        # In the order of when they began to wait.
        self._open: dict[HttpConnection | WebSocketConnection, str] = {}

    def enter(self, connection: HttpConnection | WebSocketConnection, peer: str) -> bool:
        """Count a connection in. Returns whether there is room for it; otherwise it is to be closed."""
        ours = [each for each, whose in self._open.items() if whose == peer]
        room = len(ours) < self._most_of_peer or self._make_room(ours)
        room = room and (len(self._open) < self._most or self._make_room(self._open))
        if room:
            self._open[connection] = peer
        return room

    def waits(self, connection: HttpConnection) -> None:
        """Note that a connection begins to wait for a request."""
        peer = self._open.pop(connection, None)
        if peer is not None:
            self._open[connection] = peer

    def leave(self, connection: HttpConnection | WebSocketConnection) -> None:
        """Count a connection out. Safe to call twice."""
        self._open.pop(connection, None)

    def _make_room(self, among: Iterable[HttpConnection | WebSocketConnection]) -> bool:
        silent = next((each for each in among if isinstance(each, HttpConnection) and each.is_waiting()), None)
        if silent is None:
            return False
        self.leave(silent)
        silent.transport.abort()
        return True


class HttpConnection(H11Protocol):
    """A connection that must have a place, and is closed when a request does not come."""

    def __init__(self, *args: Any, places: Connections, first_seconds: float, **named: Any) -> None:
        super().__init__(*args, **named)
        self._places = places
        self._first_seconds = first_seconds
        self._patience: asyncio.TimerHandle | None = None

    def is_waiting(self) -> bool:
        """Whether no request is being answered, so that closing it loses nobody's answer."""
        return self.conn.our_state is not h11.SEND_RESPONSE

    def connection_made(self, transport: Any) -> None:
        """Take a place, and wait for the first request."""
        super().connection_made(transport)
        if not self._places.enter(self, http_caller(self.client).principal):
            transport.write(b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            transport.close()
            return
        self._be_patient()

    def data_received(self, data: bytes) -> None:
        """Read on; what a request lacks must come in time."""
        try:
            super().data_received(data)
        except h11.LocalProtocolError:
            # Nonsense after a request whose answer has begun: uvicorn would answer it once more.
            self.transport.abort()
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._cancel()
        elif self.conn.our_state is h11.SEND_RESPONSE:
            # A head has one time for all of it; of a body, every part has.
            self._be_patient()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._places.waits(self)
        self._be_patient()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Leave the place to the WebSocket."""
        self._cancel()
        self._places.leave(self)
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._cancel()
        self._places.leave(self)
        super().connection_lost(exc)

    def _be_patient(self) -> None:
        self._cancel()
        self._patience = self.loop.call_later(self._first_seconds, self._give_up)

    def _give_up(self) -> None:
        """Close, unless the request is here and its answer is what is missing; then look again."""
        self._patience = None
        if self.is_waiting() or (self.conn.their_state is h11.SEND_BODY and not self.flow.read_paused):
            self.transport.abort()
        else:
            self._be_patient()

    def _cancel(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket that must have a place."""

    def __init__(self, *args: Any, places: Connections, **named: Any) -> None:
        super().__init__(*args, **named)
        self._places = places

    def connection_made(self, transport: Any) -> None:
        """Take a place."""
        super().connection_made(transport)
        if not self._places.enter(self, http_caller(self.client).principal):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._places.leave(self)
        super().connection_lost(exc)
