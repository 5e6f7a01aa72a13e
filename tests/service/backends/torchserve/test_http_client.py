"""The hop's HTTP client against servers that misbehave in the ways a server can."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from service.backends.torchserve.http_client import ConnectionLost, HttpClient
from tests.waiting import PATIENCE

Talk = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Reads whole requests and lets `talk` write what it wants."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.connections = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.socket = Path()
        self.served: set[asyncio.Task[None] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.served.add(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length))
                await self.talk(self.bodies[-1], writer)
                await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[tuple[Server, HttpClient]]:
    server = Server(talk)
    with tempfile.TemporaryDirectory() as folder:
        server.socket = Path(folder, "socket")
        listener = await asyncio.start_unix_server(server.serve, server.socket, limit=2**24)
        client = HttpClient(server.socket, "secret", 10_000_000)
        try:
            yield server, client
        finally:
            client.close()
            listener.close()
            await asyncio.gather(*filter(None, server.served))


async def echo(body: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nX-Y: z\r\n\r\n" % len(body) + body)


async def test_one_connection_serves_calls_in_turn() -> None:
    async with serving(echo) as (server, client):
        for size in (0, 1, 700_000, 3):
            reply = await client.call("POST", "/predictions/m", b"x" * size, timeout=PATIENCE)
            assert (reply.status, reply.body) == (200, b"x" * size)
        assert server.connections == 1
        assert server.heads[0].startswith(b"POST /predictions/m HTTP/1.1\r\n")
        assert b"\r\nAuthorization: Bearer secret\r\n" in server.heads[0]


async def test_calls_at_the_same_time_do_not_mix() -> None:
    async with serving(echo) as (server, client):
        bodies = [bytes([number]) * (1 + 40_000 * number) for number in range(10)]
        replies = await asyncio.gather(*(client.call("POST", "/", body, timeout=PATIENCE) for body in bodies))
        assert [reply.body for reply in replies] == bodies
        assert server.connections == 10
        await asyncio.gather(*(client.call("POST", "/", body, timeout=PATIENCE) for body in bodies))
        assert server.connections == 10


async def test_a_reply_in_pieces() -> None:
    async def drip(body: bytes, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nsorry":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with serving(drip) as (_, client):
        reply = await client.call("GET", "/", timeout=PATIENCE)
        assert (reply.status, reply.body) == (503, b"sorry")


async def test_connection_close_is_obeyed() -> None:
    async def last(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    async with serving(last) as (server, client):
        for _ in range(3):
            assert (await client.call("GET", "/", timeout=PATIENCE)).status == 413
        assert server.connections == 3


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\n\r\nwithout a length",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 2_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=range(11),
)
async def test_what_is_no_reply_is_a_lost_connection_and_the_next_call_gets_a_new_one(reply: bytes) -> None:
    async def first_bad(body: bytes, writer: asyncio.StreamWriter) -> None:
        if server.connections == 1:
            writer.write(reply)
            writer.close()
        else:
            await echo(body, writer)

    async with serving(first_bad) as (server, client):
        with pytest.raises(ConnectionLost):
            await client.call("POST", "/", b"a", timeout=PATIENCE)
        assert (await client.call("POST", "/", b"b", timeout=PATIENCE)).body == b"b"


async def test_silence_ends_at_the_timeout_and_its_late_reply_reaches_nobody() -> None:
    given_up = asyncio.Event()

    async def late(body: bytes, writer: asyncio.StreamWriter) -> None:
        if body == b"slow":
            await given_up.wait()
        await echo(body, writer)

    async with serving(late) as (_, client):
        with pytest.raises(TimeoutError):
            await client.call("POST", "/", b"slow", timeout=0.05)
        given_up.set()
        assert (await client.call("POST", "/", b"next", timeout=PATIENCE)).body == b"next"


async def test_nobody_listening_is_a_lost_connection() -> None:
    async with serving(echo) as (server, _):
        gone = server.socket
    with pytest.raises(ConnectionLost):
        await HttpClient(gone, "", 10).call("GET", "/", timeout=PATIENCE)
