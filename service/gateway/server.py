"""A port for HTTP and WebSockets: uvicorn inside the service's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from service.gateway.connections import Connections, HttpConnection, WebSocketConnection


class _Inside(uvicorn.Server):
    """A uvicorn server that leaves the signals to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves an ASGI application on one port.

    message_bytes: largest WebSocket message. connections: how many may be open; see `Connections`. first_seconds: time
    in which the head of a request, and its next bytes, must come; then the connection is closed. By uvicorn's own
    bounds a request's head has at most 16 KiB, and a connection is closed 5 s after its last answer.
    """

    def __init__(
        self, app: ASGIApp, *, message_bytes: int = 2**16, connections: int = 256, first_seconds: float = 10.0
    ) -> None:
        places = Connections(connections)
        # uvicorn makes one per connection, with its own arguments by name.
        http: Any = partial(HttpConnection, places=places, first_seconds=first_seconds)
        ws: Any = partial(WebSocketConnection, places=places)
        config = uvicorn.Config(
            app,
            http=http,
            ws=ws,
            ws_max_size=message_bytes,
            # JPEGs and float tensors do not get smaller.
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Inside(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port; 0 picks a free one. Raises OSError when the port is taken."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            # uvicorn listens only when its task runs; whoever comes before waits.
            listener.listen()
        except OSError:
            listener.close()
            raise
        bound: int = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve([listener]))
        return bound

    async def stop(self, grace: float) -> None:
        """Give the calls so many seconds to end, then close them and the port. Safe to call twice."""
        if self._serving is not None:
            # uvicorn closes sockets at once when it is told to exit; a stream still owes its last windows.
            if calls := set(self._server.server_state.tasks):
                await asyncio.wait(calls, timeout=grace)
            self._server.should_exit = True
            await asyncio.wait([self._serving])
            self._serving = None
