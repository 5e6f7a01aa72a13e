"""A class by its label or its number, in the same words at every door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from actionlens.v1 import job_pb2, job_pb2_grpc, method_pb2
from service.client import AsyncClient, Client
from service.errors import InvalidArgument
from service.server import Server
from tests.service.backend import PixelBackend, describe
from tests.service.conftest import Serve, connect
from tests.service.requests import GRAD_CAM, clip_request, pixels, raw_clip, refusal
from tests.service.stream_client import StreamClient

KNOWN = [("named", "green", 1), ("named", "2", 2), ("named", "0", 0), ("numbered", "1", 0), ("numbered", "3", 2)]
UNKNOWN = [
    ("named", "3", "explained.index: 3 is not a class; named has 0 to 2"),
    ("named", "fly", "explained.label: 'fly' is not a class of named"),
    ("numbered", "0", "explained.label: '0' is not a class of numbered"),
    ("numbered", "green", "explained.label: 'green' is not a class of numbered"),
]
FRAMES = [pixels(10 * number) for number in range(4)]


def backend_of_both() -> PixelBackend:
    made = [describe("named"), describe("numbered")]
    made[1].labels[:] = ["1", "2", "3"]
    for model in made:
        model.methods.add(method="occlusion", supported=True, job=True)
    return PixelBackend(*made)


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Server]:
    async with serve(over=backend_of_both(), jobs={"workers": 0}) as running:
        yield running


def target(text: str) -> method_pb2.Target:
    return method_pb2.Target(explained={"label": text})


async def by_clip(server: Server, model: str, text: str) -> int:
    async with connect(server) as stub:
        reply = await stub.ExplainClip(clip_request(GRAD_CAM, model=model, target=target(text)))
    return int(reply.answer.explanations[0].target.index)


async def by_stream(server: Server, model: str, text: str) -> int:
    async with connect(server) as stub:
        client = await StreamClient.open(stub, GRAD_CAM, model=model, target=target(text))
        await client.feed(range(4))
        await client.end()
    return int(client.windows[0].answer.explanations[0].target.index)


async def by_update(server: Server, model: str, text: str) -> int:
    async with connect(server) as stub:
        client = await StreamClient.open(stub, GRAD_CAM, model=model)
        await client.update(target=target(text))
        await client.feed(range(4))
        await client.end()
    return int(client.windows[-1].answer.explanations[0].target.index)


async def by_job(server: Server, model: str, text: str) -> int:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: Any = job_pb2_grpc.ExplanationJobServiceStub(channel)  # type: ignore[no-untyped-call]
        request = job_pb2.CreateJobRequest(
            model=model,
            method=method_pb2.Method(occlusion=method_pb2.Occlusion()),
            target=target(text),
            clips=[job_pb2.JobClip(clip=raw_clip([0, 50]))],
        )
        return int((await stub.CreateJob(request)).job.target.explained.index)


async def by_client(server: Server, model: str, text: str) -> int:
    async with AsyncClient(f"127.0.0.1:{server.port}") as client:
        result = await client.explain_clip(FRAMES, methods=["grad-cam"], model=model, target=text)
    return result.explanations["grad-cam"].message.target.index


async def by_blocking_client(server: Server, model: str, text: str) -> int:
    def ask() -> int:
        with Client(f"127.0.0.1:{server.port}") as client:
            options: dict[str, Any] = {"methods": ["grad-cam"], "model": model, "target": text}
            return client.explain_clip(FRAMES, **options).explanations["grad-cam"].message.target.index

    return await asyncio.to_thread(ask)


Door = Callable[[Server, str, str], Awaitable[int]]
DOORS: dict[str, Door] = {
    "clip": by_clip,
    "stream": by_stream,
    "update": by_update,
    "job": by_job,
    "client": by_client,
    "blocking client": by_blocking_client,
}


@pytest.mark.parametrize("door", DOORS)
async def test_a_class_is_its_label_or_where_no_label_is_a_number_its_number(server: Server, door: str) -> None:
    for model, text, index in KNOWN:
        assert await DOORS[door](server, model, text) == index, (model, text)


@pytest.mark.parametrize("door", DOORS)
async def test_what_is_no_class_is_refused_in_the_same_words(server: Server, door: str) -> None:
    for model, text, message in UNKNOWN:
        if "client" in door:
            with pytest.raises(InvalidArgument) as caught:
                await DOORS[door](server, model, text)
            said, reason = caught.value.message, caught.value.reason
        else:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await DOORS[door](server, model, text)
            said, reason = refusal(failed.value).message, refusal(failed.value).reason
        assert f"target.{message}" in said, (model, text)
        assert reason == "UNKNOWN_CLASS"
