"""Quotas belong to principals, wherever they call from, and what strangers send is not read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import httpx
import pytest

from actionlens.v1 import service_pb2
from service.client.channel import bearer
from service.identity.principal import Right
from service.ingress.request_parser import RequestParser
from service.server import Server
from tests.service.conftest import Serve
from tests.service.identity.people import People
from tests.service.requests import refusal

_STREAM = "/actionlens.v1.ExplanationService/ExplainStream"
_OPEN = service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen()).SerializeToString()


@pytest.fixture
async def served(serve: Serve, people: People) -> AsyncIterator[Server]:
    """At most 32 streams, of which one connection may hold 16 and one principal 24."""
    for name in ("alice", "bob"):
        people.add(name, Right.EXPLAIN)
    async with serve(authentication={"tokens": people.path}, stream={"max_streams": 32}) as server:
        yield server


class Streams:
    """Streams that are opened and stay so."""

    def __init__(self, server: Server, stack: AsyncExitStack) -> None:
        self._server, self._stack = server, stack

    async def connect(self) -> Any:
        """A connection of its own."""
        channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{self._server.port}", options=[("grpc.use_local_subchannel_pool", 1)]
        )
        return await self._stack.enter_async_context(channel)

    async def fill(self, channel: Any, token: str, most: int = 100) -> tuple[int, str]:
        """Open streams until there are so many or one is refused: their number, and whose share is used up."""
        for count in range(most):
            call = channel.stream_stream(_STREAM)(metadata=bearer(token))
            self._stack.callback(call.cancel)
            await call.write(_OPEN)
            try:
                assert await call.read() is not grpc.aio.EOF  # type: ignore[attr-defined]
            except grpc.aio.AioRpcError as error:
                told = refusal(error)
                assert told.reason == "QUOTA_EXCEEDED"
                return count, told.message
        return most, ""


async def test_two_behind_one_proxy_have_each_their_share_and_one_has_it_once(served: Server, people: People) -> None:
    async with AsyncExitStack() as stack:
        streams = Streams(served, stack)
        proxy, elsewhere = await streams.connect(), await streams.connect()
        count, told = await streams.fill(proxy, people.tokens["alice"])
        assert count == 16
        assert "one connection may hold 16" in told
        assert await streams.fill(proxy, people.tokens["bob"], 2) == (2, "")
        count, told = await streams.fill(elsewhere, people.tokens["alice"])
        assert count == 8
        assert "one principal may hold 24" in told


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Messages that were parsed, and for whom."""
    seen: list[tuple[str, str]] = []
    original = RequestParser.parse

    async def parse(self: RequestParser, kind: Any, data: bytes, principal: str) -> Any:
        seen.append((kind.name, principal))
        return await original(self, kind, data, principal)

    monkeypatch.setattr(RequestParser, "parse", parse)
    return seen


@pytest.mark.parametrize("token", ["", "nonsense"])
async def test_what_a_stranger_sends_is_not_read(served: Server, parsed: list[tuple[str, str]], token: str) -> None:
    junk, metadata = b"\xff" * 2**20, bearer(token) if token else ()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        for name in ("ExplainClip", "ListModels"):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await channel.unary_unary(f"/actionlens.v1.ExplanationService/{name}")(junk, metadata=metadata)
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        call = channel.stream_stream(_STREAM)(metadata=metadata)
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(junk)
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
    assert not parsed


async def test_a_known_one_counts_as_itself_at_both_doors(
    served: Server, people: People, parsed: list[tuple[str, str]]
) -> None:
    token = people.tokens["alice"]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        await channel.unary_unary("/actionlens.v1.ExplanationService/ListModels")(b"", metadata=bearer(token))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.page_port}") as page:
        answer = await page.post("/call/ListModels", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert parsed == [("ListModelsRequest", "alice")] * 2
