"""Whoever leaves, by whatever door, has nothing computed any longer: the backend's call is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from websockets.asyncio.client import connect as socket

from actionlens.v1 import service_pb2
from service.server import Server
from tests.service.backend import FRAMES, PixelBackend
from tests.service.conftest import connect
from tests.service.requests import clip_request, png
from tests.waiting import PATIENCE, eventually


async def by_grpc(server: Server) -> None:
    async with connect(server) as stub:
        await stub.ExplainClip(clip_request())


async def by_post(server: Server) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.page_port}", timeout=PATIENCE) as client:
        await client.post("/call/ExplainClip", content=clip_request().SerializeToString())


async def by_stream(server: Server) -> None:
    async with socket(f"ws://127.0.0.1:{server.page_port}/call/ExplainStream", open_timeout=PATIENCE) as wire:
        messages = [service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen())]
        for sequence in range(FRAMES):
            frame = service_pb2.StreamFrame(sequence=sequence, image=png(10 * sequence))
            messages.append(service_pb2.ExplainStreamRequest(frame=frame))
        for message in messages:
            await wire.send(message.SerializeToString())
        await asyncio.Event().wait()


@pytest.mark.parametrize("door", [by_grpc, by_post, by_stream], ids=lambda door: door.__name__)
async def test_a_client_that_leaves_ends_its_computation(
    server: Server, backend: PixelBackend, door: Callable[[Server], Awaitable[None]]
) -> None:
    backend.open.clear()
    call = asyncio.ensure_future(door(server))
    await eventually(lambda: backend.busy == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await eventually(lambda: backend.busy == 0)
    assert not backend.open.is_set()  # nothing has been computed for it


async def test_a_post_that_is_waited_for_is_answered_as_before(server: Server) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.page_port}", timeout=PATIENCE) as client:
        response = await client.post("/call/ExplainClip", content=clip_request().SerializeToString())
        assert service_pb2.ExplainClipResponse.FromString(response.content).answer.prediction.top
        refused = await client.post("/call/ExplainClip", content=clip_request(model="nobody").SerializeToString())
        assert refused.status_code == 404
