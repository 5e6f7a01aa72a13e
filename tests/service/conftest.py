"""A real server on loopback ports, and a real client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from actionlens.v1 import service_pb2_grpc
from service.server import Server
from service.settings import Settings
from service.streaming.manager import StreamManager
from tests.service.backend import PixelBackend

Serve = Callable[..., AbstractAsyncContextManager[Server]]


@pytest.fixture
def backend() -> PixelBackend:
    return PixelBackend()


@pytest.fixture
def serve(backend: PixelBackend, tmp_path: Path) -> Serve:
    """Starts a server with settings of the test's choice over the pixel backend (or another); it takes jobs when there
    are settings for them."""

    @asynccontextmanager
    async def start(*, over: Any = None, **fields: Any) -> AsyncIterator[Server]:
        defaults: dict[str, Any] = {
            "port": 0,
            "metrics_port": 0,
            "page_port": 0,
            "model_store": tmp_path,
            "data": tmp_path,
            "drain_seconds": 2,
            # Processes take longer to start than most tests; tests/service/decoding/process has them.
            "decoder": {"place": "in-process"},
        }
        async with Server(Settings(**{**defaults, **fields}), over or backend, jobs="jobs" in fields) as server:
            yield server

    return start


@pytest.fixture
def draining(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once the streams of a server have been told to end."""
    told = asyncio.Event()
    drain = StreamManager.drain

    def noted(self: StreamManager) -> None:
        drain(self)
        told.set()

    monkeypatch.setattr(StreamManager, "drain", noted)
    return told


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Server]:
    async with serve() as running:
        yield running


@asynccontextmanager
async def connect(server: Server, **options: int) -> AsyncIterator[Any]:
    """A stub with its own channel to the server."""
    arguments = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1), *options.items()]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=arguments) as channel:
        yield service_pb2_grpc.ExplanationServiceStub(channel)


@pytest.fixture
async def stub(server: Server) -> AsyncIterator[Any]:
    async with connect(server) as made:
        yield made
