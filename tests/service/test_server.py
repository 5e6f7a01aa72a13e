"""Health, metrics, reflection and the end of a server's life."""

from __future__ import annotations

import asyncio
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from actionlens.v1 import explanation_pb2, service_pb2
from service.client import channel
from service.errors import Unavailable
from service.rpc.health_servicer import EXPLANATION_SERVICE
from service.server import Server, channel_options
from service.settings import Settings
from tests.service.backend import PixelBackend, describe
from tests.service.conftest import Serve, connect
from tests.service.requests import GRAD_CAM, SELECTIVE, clip_request
from tests.waiting import PATIENCE, eventually

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health_of(server: Server, name: str = "") -> int:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        status: int = (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status
        return status


async def scrape(server: Server, path: str = "/metrics") -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(f"http://127.0.0.1:{server.metrics_port}{path}")


async def samples(server: Server) -> dict[tuple[str, frozenset[str]], float]:
    """Every sample of /metrics by name and label values (whose order the text does not keep)."""
    text = (await scrape(server)).text
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Slow(PixelBackend):
    """Starts only when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_start = asyncio.Event()

    async def start(self) -> None:
        await self.may_start.wait()
        await super().start()


async def test_not_serving_until_the_canary_was_answered(tmp_path: Path) -> None:
    backend = Slow()
    backend.open.clear()
    server = Server(Settings(port=0, metrics_port=0, page_port=0, model_store=tmp_path), backend)
    starting = asyncio.create_task(server.start())
    await eventually(lambda: server.port > 0)
    assert await health_of(server) == NOT_SERVING
    async with connect(server) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ExplainClip(clip_request())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        backend.may_start.set()
        await eventually(lambda: backend.busy == 1)
        assert await health_of(server, EXPLANATION_SERVICE) == NOT_SERVING
        assert (await scrape(server, "/healthz")).status_code == 503
        backend.open.set()
        await starting
        # The canary asked for one method, with grey frames.
        assert [method.WhichOneof("method") for method in backend.requests[0].methods] == ["grad_cam"]
        assert set(backend.clips[0].flat) == {128}
        assert await health_of(server) == await health_of(server, EXPLANATION_SERVICE) == SERVING
        assert (await scrape(server, "/healthz")).status_code == 200
        # Nobody's answer is counted.
        assert "actionlens_stage_seconds_count" not in (await scrape(server, "/metrics")).text
        await stub.ExplainClip(clip_request())
        assert 'actionlens_request_seconds_count{model="colours"} 1.0' in (await scrape(server, "/metrics")).text
    await server.stop()


async def test_the_canary_may_be_a_video(serve: Serve, backend: PixelBackend, tmp_path: Path) -> None:
    video = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 32))
    for _ in range(6):
        writer.write(np.full((32, 32, 3), 77, np.uint8))
    writer.release()
    async with serve(canary=video):
        assert abs(int(backend.clips[0].flat[0]) - 77) < 4


async def test_a_canary_that_fails_keeps_the_server_from_starting(serve: Serve, backend: PixelBackend) -> None:
    backend.failures.append(explanation_pb2.Failure(code=13, message="weights are cursed", reason="CURSED"))
    with pytest.raises(Unavailable, match="weights are cursed"):
        async with serve():
            pytest.fail("it must not start")
    assert not backend.up


async def test_what_a_models_card_leaves_open_is_logged_once(serve: Serve, backend: PixelBackend) -> None:
    note = "its scores are probabilities by their numbers"
    backend.served["colours"].notes.append(note)
    with capture_logs() as lines:
        async with serve() as server, connect(server) as stub:
            (model,) = (await stub.ListModels(service_pb2.ListModelsRequest())).models
            assert list(model.notes) == [note]
            await stub.ExplainClip(clip_request())
    said = [line for line in lines if line["event"] == note]
    assert said == [{"event": note, "model": "colours", "log_level": "warning"}]


async def test_an_unreadable_canary_names_the_setting(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="ACTIONLENS_CANARY"):
        async with serve(canary=tmp_path / "absent.mp4"):
            pytest.fail("it must not start")


async def test_a_taken_port_is_named(serve: Serve) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for setting in ("port", "metrics_port", "page_port"):
            with pytest.raises(Unavailable, match=f"port {port}: .*; set ACTIONLENS_{setting.upper()} to a free one"):
                async with serve(**{setting: port}):
                    pytest.fail("it must not start")


async def test_health_follows_the_backend_and_needs_a_canary_to_come_back(
    server: Server, backend: PixelBackend
) -> None:
    backend.up = False
    await eventually(lambda: not server.health.serving)
    assert await health_of(server) == NOT_SERVING
    backend.failures.append(Unavailable("not yet"))
    backend.up = True
    await eventually(lambda: server.health.serving)
    assert not backend.failures, "the first canary failed, so another one must have been answered"
    assert await health_of(server) == SERVING


async def test_drain_lets_a_clip_in_flight_end_and_refuses_new_ones(serve: Serve, backend: PixelBackend) -> None:
    # A stop that waited for its time and not for the clip would never end.
    async with serve(drain_seconds=3600) as server, connect(server) as stub, connect(server) as other:
        backend.open.clear()
        call = asyncio.ensure_future(stub.ExplainClip(clip_request()))
        await eventually(lambda: backend.busy == 1)
        stopping = asyncio.create_task(server.stop())
        await eventually(lambda: not server.health.serving)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await other.ExplainClip(clip_request())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        backend.open.set()
        assert (await call).answer.prediction.top
        await asyncio.wait_for(stopping, PATIENCE)
    assert not backend.up


async def test_drain_does_not_wait_longer_than_set(serve: Serve, backend: PixelBackend) -> None:
    async with serve(drain_seconds=0.2) as server, connect(server) as stub:
        backend.open.clear()
        call = asyncio.ensure_future(stub.ExplainClip(clip_request()))
        await eventually(lambda: backend.busy == 1)
        await asyncio.wait_for(server.stop(), PATIENCE)
        assert backend.busy == 0
        with pytest.raises(grpc.aio.AioRpcError):
            await call


async def test_metrics_count_what_was_done(server: Server, backend: PixelBackend, stub: Any) -> None:
    before = await samples(server)
    for _ in range(3):
        await stub.ExplainClip(clip_request(GRAD_CAM, SELECTIVE))
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.ExplainClip(clip_request(model="nope"))
    backend.restarted = 2
    after = await samples(server)

    def grown(name: str, *labels: str) -> float:
        return after[name, frozenset(labels)] - before.get((name, frozenset(labels)), 0.0)

    clip = ("unary", "actionlens.v1.ExplanationService", "ExplainClip")
    assert grown("grpc_server_started_total", *clip) == 4
    assert grown("grpc_server_handled_total", *clip, "OK") == 3
    assert grown("grpc_server_handled_total", *clip, "NOT_FOUND") == 1
    assert grown("grpc_server_msg_received_total", *clip) == 4
    assert grown("grpc_server_msg_sent_total", *clip) == 3
    assert grown("grpc_server_handling_seconds_count", *clip) == 4
    for stage in ("decode", "queue", "transport", "forward", "encode"):
        assert grown("actionlens_stage_seconds_count", "colours", "", stage) == 3
    assert grown("actionlens_stage_seconds_sum", "colours", "", "forward") == pytest.approx(3 * 0.008)
    assert grown("actionlens_stage_seconds_sum", "colours", "selective-relevance", "explain") == pytest.approx(0.0024)
    assert grown("actionlens_overhead_ratio_sum", "colours", "grad-cam") == pytest.approx(3 * 0.0004 / 0.008)
    assert grown("actionlens_motion_share_sum", "colours", "selective-relevance") == pytest.approx(3 * 0.375)
    assert grown("actionlens_request_seconds_count", "colours") == 3
    assert after["actionlens_worker_restarts_total", frozenset()] == 2
    assert after["actionlens_backend_capacity", frozenset()] == 8
    assert after["actionlens_clips_in_flight", frozenset()] == 0


async def test_two_servers_in_one_process_do_not_share_metrics(serve: Serve) -> None:
    async with serve() as one, serve(over=PixelBackend(describe("elsewhere"))) as two:
        assert all("elsewhere" not in labels for _, labels in await samples(one))
        assert all("colours" not in labels for _, labels in await samples(two))


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", b"405"),
        (b"GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\nA: b\r\n\r\n", b"200"),
        (b"GET /metrics HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 10000, b""),
        (b"GET /" + b"x" * 20000, b"400"),
        (b"\x00\xff nonsense", b"400"),
    ],
)
async def test_the_metrics_port_answers_or_hangs_up(server: Server, text: bytes, status: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.metrics_port)
    writer.write(text)
    writer.write_eof()
    reply = b""
    try:
        reply = await asyncio.wait_for(reader.read(), PATIENCE)
    except ConnectionError:
        assert not status
    assert reply.split(b" ")[1 if status else 0][:3] == status
    writer.close()
    assert (await scrape(server, "/healthz")).text == "SERVING\n"


async def test_reflection_lists_the_services(server: Server) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        reply = await call.read()
        names = {service.name for service in reply.list_services_response.service}
        assert {EXPLANATION_SERVICE, "grpc.health.v1.Health"} <= names
        await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=EXPLANATION_SERVICE))
        assert (await call.read()).file_descriptor_response.file_descriptor_proto
        await call.done_writing()


async def test_stopping_twice_is_fine(serve: Serve) -> None:
    async with serve() as server:
        await server.stop()
        await server.stop()


def test_grpc_knows_every_option_by_its_name() -> None:
    """It ignores those that it does not know, and what they are for goes wrong minutes later."""
    found = find_spec("grpc._cython.cygrpc")
    assert found is not None
    assert found.origin is not None
    library = Path(found.origin).read_bytes()
    given = [*channel_options(Settings()), *channel.channel_options()]
    assert [name for name, _ in given if name.encode() not in library] == []
