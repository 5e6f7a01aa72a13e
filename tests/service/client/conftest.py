from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.client import AsyncClient, Client
from tests.service.client.peer import Peer, serving

_NEVER = 3600.0
"""Seconds that a call may take; one that has a shorter timeout of its own and ignores it hangs."""


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def address(peer: Peer) -> Iterator[str]:
    with serving(peer) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, timeout=_NEVER) as client:
        yield client


@pytest.fixture(params=["sync", "asyncio"])
def call(request: pytest.FixtureRequest, address: str) -> Callable[..., Any]:
    """Calls a method of a client by name: of the blocking one, and of the asyncio one."""

    def blocking(name: str, *arguments: Any, **options: Any) -> Any:
        with Client(address, timeout=_NEVER) as client:
            return getattr(client, name)(*arguments, **options)

    def awaiting(name: str, *arguments: Any, **options: Any) -> Any:
        async def run() -> Any:
            async with AsyncClient(address, timeout=_NEVER) as client:
                return await getattr(client, name)(*arguments, **options)

        return asyncio.run(run())

    return blocking if request.param == "sync" else awaiting


@pytest.fixture(params=["sync", "asyncio"])
def windows(request: pytest.FixtureRequest, address: str) -> Callable[..., tuple[list[Any], Any]]:
    """Follows a stream to its end: (windows, the stream object), with the blocking and with the asyncio client."""

    def blocking(frames: Any, **options: Any) -> tuple[list[Any], Any]:
        with Client(address) as client, client.explain_stream(frames, **options) as stream:
            return list(stream), stream

    def awaiting(frames: Any, **options: Any) -> tuple[list[Any], Any]:
        async def run() -> tuple[list[Any], Any]:
            async with AsyncClient(address) as client, client.explain_stream(frames, **options) as stream:
                return [window async for window in stream], stream

        return asyncio.run(run())

    return blocking if request.param == "sync" else awaiting
