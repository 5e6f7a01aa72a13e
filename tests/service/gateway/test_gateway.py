"""The gateway: the same calls, errors and bounds over HTTP and WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from actionlens.v1 import clip_pb2, job_pb2, service_pb2
from service.gateway.app import make_app
from service.gateway.rpc_bridge import RpcBridge
from service.gateway.server import HttpServer
from service.ingress.ingress import Ingress
from service.server import Server
from service.settings import Settings
from tests.service.backend import FRAMES, PixelBackend
from tests.service.conftest import Serve
from tests.service.requests import png
from tests.waiting import PATIENCE, eventually


def http(server: Server, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.page_port}", headers=headers, timeout=PATIENCE)


def socket(server: Server, call: str = "ExplainStream", **options: Any) -> connect:
    return connect(f"ws://127.0.0.1:{server.page_port}/call/{call}", open_timeout=PATIENCE, **options)


async def send(wire: ClientConnection, **message: Any) -> None:
    await wire.send(service_pb2.ExplainStreamRequest(**message).SerializeToString())


async def receive(wire: ClientConnection) -> service_pb2.ExplainStreamResponse:
    data = await wire.recv()
    assert isinstance(data, bytes), data
    return service_pb2.ExplainStreamResponse.FromString(data)


async def complaint(wire: ClientConnection) -> dict[str, Any]:
    """The error that ends a call, after which the socket is closed."""
    document: dict[str, Any] = json.loads(await wire.recv())
    with pytest.raises(ConnectionClosed):
        await wire.recv()
    return document


async def test_the_page_and_its_files_come_with_a_strict_policy(server: Server) -> None:
    async with http(server) as client:
        for path in ("/", "/overhead", "/metrics", "/static/js/main.js", "/static/style.css", "/schema.json"):
            response = await client.get(path)
            assert response.status_code == 200, path
            assert "default-src 'self'" in response.headers["content-security-policy"]
        assert "<title>ActionLens" in (await client.get("/")).text


async def test_the_schema_has_every_call_and_field(server: Server) -> None:
    async with http(server) as client:
        schema = (await client.get("/schema.json")).json()
    assert schema["calls"]["ExplainStream"][0] == "actionlens.v1.ExplainStreamRequest"
    described = schema["messages"]["actionlens.v1.StreamFrame"]
    expected = service_pb2.StreamFrame.DESCRIPTOR.fields_by_name
    assert {name: entry[0] for name, entry in described.items()} == {n: f.number for n, f in expected.items()}
    assert described["timestamp"] == [2, "double", ""]
    assert described["image"] == [3, "bytes", "optional"]


async def test_a_clip_is_explained_by_post(server: Server) -> None:
    clip = clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=[png(k) for k in range(FRAMES)]))
    async with http(server) as client:
        response = await client.post(
            "/call/ExplainClip", content=service_pb2.ExplainClipRequest(clip=clip).SerializeToString()
        )
    answer = service_pb2.ExplainClipResponse.FromString(response.content).answer
    assert list(answer.frames.used) == list(range(FRAMES))


@pytest.mark.parametrize(
    ("call", "body", "status", "says"),
    [
        ("GetModel", b"", 400, "ListModels tells the names"),
        ("GetModel", service_pb2.GetModelRequest(name="nix").SerializeToString(), 404, "'nix'"),
        ("ExplainClip", b"\xff\xff\xff", 400, "actionlens.v1.ExplainClipRequest"),
        ("ExplainStream", b"", 404, "by POST there are ExplainClip"),
    ],
)
async def test_a_bad_call_says_what_is_wrong(server: Server, call: str, body: bytes, status: int, says: str) -> None:
    async with http(server) as client:
        response = await client.post(f"/call/{call}", content=body)
    assert response.status_code == status
    assert says in response.json()["message"]


async def test_a_request_over_the_limit_is_refused(serve: Any) -> None:
    async with serve(limits={"message_bytes": 2**20}) as server, http(server) as client:
        response = await client.post("/call/ExplainClip", content=bytes(2**20 + 1))
    assert response.status_code == 429
    assert response.json()["reason"] == "MESSAGE_TOO_LARGE"


async def test_a_stream_runs_over_a_socket(server: Server) -> None:
    async with socket(server) as wire:
        await send(wire, open=service_pb2.StreamOpen())
        assert (await receive(wire)).opened.credit == server.settings.stream.credit
        for number in range(FRAMES):
            frame = service_pb2.StreamFrame(sequence=number, timestamp=number / 25, image=png(number))
            await send(wire, frame=frame)
        await send(wire, end=service_pb2.StreamEnd())
        messages = [await receive(wire), await receive(wire)]
        assert [message.WhichOneof("message") for message in messages] == ["window", "summary"]
        assert list(messages[0].window.answer.frames.used) == list(range(FRAMES))
        with pytest.raises(ConnectionClosed) as closed:
            await wire.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000


@pytest.mark.parametrize("bad", ["hello", b"\xff\xff\xff"])
async def test_a_bad_frame_gets_a_message_before_the_socket_closes(server: Server, bad: str | bytes) -> None:
    async with socket(server) as wire:
        await send(wire, open=service_pb2.StreamOpen())
        await receive(wire)
        await wire.send(bad)
        document = await complaint(wire)
    assert (document["code"], document["reason"]) == ("INVALID_ARGUMENT", "MESSAGE_UNREADABLE")


async def test_a_refused_stream_names_the_field(server: Server) -> None:
    async with socket(server) as wire:
        await send(wire, open=service_pb2.StreamOpen(model="nix"))
        document = await complaint(wire)
    assert (document["code"], document["field"]) == ("NOT_FOUND", "open.model")


async def test_a_browser_that_leaves_ends_its_stream(server: Server) -> None:
    async with socket(server) as wire:
        await send(wire, open=service_pb2.StreamOpen())
        await receive(wire)
        assert b"actionlens_streams 1.0" in server.metrics.text()
    await eventually(lambda: b"actionlens_streams 0.0" in server.metrics.text())


async def test_a_stream_of_a_service_that_stops_gets_its_windows_and_the_summary(
    serve: Serve, backend: PixelBackend, draining: asyncio.Event
) -> None:
    async with serve() as server, socket(server) as wire:
        await send(wire, open=service_pb2.StreamOpen())
        await receive(wire)
        backend.open.clear()
        for number in range(FRAMES):
            frame = service_pb2.StreamFrame(sequence=number, timestamp=number / 25, image=png(number))
            await send(wire, frame=frame)
        await eventually(lambda: backend.busy == 1)
        stopping = asyncio.create_task(server.stop())
        await draining.wait()
        backend.open.set()
        messages = [await receive(wire), await receive(wire)]
        assert [message.WhichOneof("message") for message in messages] == ["window", "summary"]
        await stopping


class Endless:
    """A job service whose results never end."""

    def __init__(self) -> None:
        self.opened = self.open = 0

    async def DownloadResult(self, request: Any, context: Any) -> AsyncIterator[job_pb2.DownloadResultResponse]:
        self.opened += 1
        self.open += 1
        try:
            while True:
                yield job_pb2.DownloadResultResponse(data=bytes(2**20))
        finally:
            self.open -= 1

    def __getattr__(self, name: str) -> Any:
        return self.DownloadResult


async def test_a_browser_that_reads_nothing_is_given_up() -> None:
    endless = Endless()
    calls = RpcBridge((job_pb2.DESCRIPTOR.services_by_name["ExplanationJobService"], endless))
    settings = Settings(stream={"idle_seconds": 0.3})
    gateway = HttpServer(make_app(settings, Ingress(settings), calls, b"{}", []), message_bytes=2**20)
    port = await gateway.start("127.0.0.1", 0)
    address = f"ws://127.0.0.1:{port}/call/DownloadResult"
    async with connect(address, open_timeout=PATIENCE, max_queue=1, max_size=None, close_timeout=0.1) as wire:
        await wire.send(b"")
        await eventually(lambda: endless.opened == 1 and endless.open == 0)
    await gateway.stop(1.0)


@pytest.mark.parametrize("headers", [{"origin": "http://elsewhere.example"}, {"host": "rebound.example"}])
async def test_other_pages_are_refused(server: Server, headers: dict[str, str]) -> None:
    async with http(server, **headers) as client:
        assert (await client.post("/call/ListModels")).status_code == 403


async def test_sockets_of_other_pages_are_refused(server: Server) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        async with socket(server, origin="http://elsewhere.example"):
            pass


@pytest.mark.parametrize("path", ["/samples/..%2f..%2fetc", "/samples/colours", "/static/..%2f..%2fpage.py"])
async def test_no_file_but_the_page_s_own_is_served(server: Server, path: str) -> None:
    async with http(server) as client:
        assert (await client.get(path)).status_code == 404
