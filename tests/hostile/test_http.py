"""Requests and connections for HTTP that no browser would make, on the page's port and on that of the metrics."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from urllib.parse import quote_from_bytes

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import InvalidStatus

from service.server import Server
from tests.service.conftest import Serve
from tests.waiting import PATIENCE

PORTS = ["page_port", "metrics_port"]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Server]:
    """Impatient."""
    async with serve(jobs={"workers": 0}, quotas={"first_seconds": 0.5, "receive_seconds": 1}) as running:
        yield running


@contextlib.asynccontextmanager
async def connected(port: int, count: int = 1) -> AsyncIterator[list[Streams]]:
    """So many connections."""
    made = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    try:
        yield made
    finally:
        for _, writer in made:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def answer(port: int, request: bytes) -> bytes:
    """All that comes back until the connection is closed."""
    async with connected(port) as [(reader, writer)]:
        writer.write(request)
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(reader.read(), PATIENCE)
    return b""


def get(path: bytes, headers: bytes = b"") -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers + b"\r\n"


async def is_healthy(port: int) -> bool:
    return b"200 OK" in await answer(port, get(b"/healthz"))


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: loc",
        b"POST /call/GetModel HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
    ],
    ids=["nothing", "half a head", "no body"],
)
async def test_whoever_says_nothing_keeps_nobody_out_and_is_closed(server: Server, port: str, said: bytes) -> None:
    number = getattr(server, port)
    async with connected(number, 300) as silent:
        for _, writer in silent:
            writer.write(said)
        assert await is_healthy(number)
        async with asyncio.timeout(PATIENCE):
            for reader, _ in silent:
                with contextlib.suppress(ConnectionError):
                    await reader.read()


async def test_a_request_that_comes_byte_by_byte_is_given_up(server: Server) -> None:
    async with connected(server.page_port) as [(reader, writer)]:
        writer.write(b"POST /call/GetModel HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")

        async def drip() -> None:
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE)
        dripping.cancel()
        assert b" 504 " in head


async def test_sockets_that_never_send_are_closed(server: Server) -> None:
    for call in ("ExplainStream", "WatchJob"):
        async with connect_socket(f"ws://127.0.0.1:{server.page_port}/call/{call}", open_timeout=PATIENCE) as wire:
            document = json.loads(await asyncio.wait_for(wire.recv(), PATIENCE))
            assert document["code"] == "DEADLINE_EXCEEDED"


async def test_sockets_of_one_client_are_bounded(server: Server) -> None:
    async with contextlib.AsyncExitStack() as stack:
        refused = 0
        address = f"ws://127.0.0.1:{server.page_port}/call/WatchJob"
        for _ in range(60):
            wire = await stack.enter_async_context(connect_socket(address, open_timeout=PATIENCE, close_timeout=0.1))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.005):
                    refused += json.loads(await wire.recv())["reason"] == "QUOTA_EXCEEDED"
        assert refused
        assert await is_healthy(server.page_port)


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding : chunked\r\nContent-Length: 4\r\n",
    ],
)
async def test_a_length_said_in_two_ways_is_refused_and_nothing_follows(
    server: Server, port: str, headers: bytes
) -> None:
    smuggled = b"POST /call/ListModels HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n0\r\n\r\n"
    text = await answer(getattr(server, port), smuggled + get(b"/healthz"))
    assert text.split(b" ")[1] in (b"400", b"501")
    assert text.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("port", PORTS)
async def test_other_names_and_other_pages_are_refused(server: Server, port: str) -> None:
    number = getattr(server, port)
    for host in (b"rebound.example", b"127.0.0.1.rebound.example", b"[::1", b"0.0.0.0"):
        request = b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
        assert b"403" in (await answer(number, request)).split(b"\r\n")[0], host
    for origin in (b"http://elsewhere.example", b"null", b"http://[::1"):
        assert b"403" in (await answer(number, get(b"/healthz", b"Origin: " + origin + b"\r\n"))).split(b"\r\n")[0]
    with pytest.raises(InvalidStatus, match="403"):
        async with connect_socket(f"ws://127.0.0.1:{number}/call/ExplainStream", origin="http://[::1"):  # type: ignore[arg-type]
            pass


LONG = b"x" * 5000
PATHS = [
    *(
        prefix + name
        for prefix in (b"/samples/", b"/static/", b"/call/", b"/")
        for name in (LONG, b"%00", b"%ff", b"..%2f")
    ),
    b"/static/js/" + b"a/" * 2000,
    b"/samples/.hidden",
    b"/samples/a%0d%0ab",
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:16].decode())
@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_no_path_is_an_error_of_the_service(server: Server, path: bytes, method: bytes) -> None:
    with capture_logs() as lines:
        text = await answer(server.page_port, get(path).replace(b"GET", method, 1))
    assert text.split(b" ")[1][:1] == b"4", text[:200]
    assert [line for line in lines if line["log_level"] in ("error", "critical")] == []


async def test_a_client_that_leaves_is_no_error(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as lines:
        for cut in (10, 60, 110):
            async with connected(server.page_port, 5) as made:
                for _, writer in made:
                    writer.write(
                        b"POST /call/ExplainClip HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"[:cut]
                    )
                    await writer.drain()
        assert await is_healthy(server.page_port)
    assert [line for line in lines if line["log_level"] in ("error", "critical")] == []
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


async def test_fuzzed_requests_are_answered_or_refused(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(16)
    starts = [
        get(b"/call/GetModel", b"Upgrade: websocket\r\n"),
        get(b"/static/style.css", b"Range: bytes=0-5\r\nIf-None-Match: *\r\n"),
        b"POST /call/GetModel HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 3\r\n\r\n\n\1a",
        b"POST /call/ListModels HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /call/ExplainStream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n\x82\x80aaaa",
        get(b"/samples/" + quote_from_bytes(rng.randbytes(20)).encode()),
    ]
    with capture_logs() as lines:
        for _ in range(150):
            data = bytearray(rng.choice(starts))
            for _ in range(rng.randrange(1, 5)):
                place = rng.randrange(len(data) + 1)
                data[place : place + rng.randrange(3)] = rng.randbytes(rng.randrange(4))
            async with connected(server.page_port) as [(reader, writer)]:
                writer.write(bytes(data))
                writer.write_eof()
                with contextlib.suppress(ConnectionError):
                    text = await asyncio.wait_for(reader.read(4096), PATIENCE)
                    assert not text.startswith(b"HTTP/1.1 500"), bytes(data)
        assert await is_healthy(server.page_port)
    assert [line for line in lines if line["log_level"] in ("error", "critical")] == []
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
