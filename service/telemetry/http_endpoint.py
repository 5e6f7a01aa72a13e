"""The HTTP side door for operators: /metrics for Prometheus, /healthz for load balancers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from service.telemetry.exposition import OPEN_METRICS, PLAIN

# A scraper sends a few hundred bytes at once; whoever is larger or slower is no scraper.
_LONGEST_HEAD = 8192
_PATIENCE = 5.0


class HttpEndpoint:
    """A minimal HTTP/1.1 server, GET only, one answer per connection.

    metrics: makes the exposition text, told whether with exemplars. healthy: whether /healthz says 200 or 503.
    """

    def __init__(self, metrics: Callable[[bool], bytes], healthy: Callable[[], bool]) -> None:
        self._metrics = metrics
        self._healthy = healthy
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port; 0 picks a free one. Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_LONGEST_HEAD)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Close the port. Answers are immediate, so none is waited for."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                status, kind, body = self._answer(head)
                writer.write(
                    f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                    + (b"" if head.startswith(b"HEAD ") else body)
                )
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # not a client that can be answered
        finally:
            writer.close()

    def _answer(self, head: bytes) -> tuple[HTTPStatus, str, bytes]:
        method, _, rest = head.partition(b" ")
        path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
        plain = "text/plain; charset=utf-8"
        if method not in (b"GET", b"HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, plain, b"only GET\n"
        if path == b"/metrics":
            # Whoever can read OpenMetrics says so, whatever else it reads.
            exemplars = b"application/openmetrics-text" in head
            return HTTPStatus.OK, OPEN_METRICS if exemplars else PLAIN, self._metrics(exemplars)
        if path == b"/healthz":
            if self._healthy():
                return HTTPStatus.OK, plain, b"SERVING\n"
            return HTTPStatus.SERVICE_UNAVAILABLE, plain, b"NOT_SERVING\n"
        return HTTPStatus.NOT_FOUND, plain, b"there are /metrics and /healthz\n"
