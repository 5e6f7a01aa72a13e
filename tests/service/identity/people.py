"""Principals with tokens, and channels that bear them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from actionlens.v1 import job_pb2_grpc, service_pb2_grpc
from service.client.channel import bearer
from service.identity.principal import Right
from service.identity.principals_file import add_entry
from service.server import Server


@dataclass(frozen=True)
class People:
    """The file, and the token of each by name."""

    path: Path
    tokens: dict[str, str]

    def add(self, name: str, *rights: Right, tenants: tuple[str, ...] = ("red",)) -> str:
        """A new principal's token."""
        self.tokens[name] = add_entry(self.path, name, tenants, frozenset(rights))
        return self.tokens[name]


@dataclass(frozen=True)
class Stubs:
    """Stubs of both services over one channel, and the metadata with a token."""

    channel: grpc.aio.Channel
    explanation: Any
    job: Any


class _Bearing:
    """A stub whose calls bear a token."""

    def __init__(self, stub: Any, token: str) -> None:
        self._stub, self._metadata = stub, bearer(token)

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._stub, name)
        return lambda request, **options: call(request, metadata=self._metadata, **options)


@asynccontextmanager
async def calling(server: Server, token: str = "") -> AsyncIterator[Stubs]:
    """Stubs whose calls bear the token."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Stubs(
            channel,
            _Bearing(service_pb2_grpc.ExplanationServiceStub(channel), token),  # type: ignore[no-untyped-call]
            _Bearing(job_pb2_grpc.ExplanationJobServiceStub(channel), token),  # type: ignore[no-untyped-call]
        )
