"""Clients that leave without a word, and streams that never end: nothing may stay behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import psutil
import pytest

from actionlens.v1 import service_pb2
from service.rpc.health_servicer import EXPLANATION_SERVICE
from service.server import Server
from service.streaming.frame_decoder import DecodedFrame, EncodedFrame
from tests.service.backend import PixelBackend
from tests.service.conftest import Serve, connect
from tests.service.requests import GRAD_CAM, clip_request
from tests.service.stream_client import BLOCK, DROP, EVERY, NEWEST, StreamClient, exact, raw
from tests.waiting import PATIENCE, eventually


@pytest.fixture
def no_incident(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """A client that leaves is no bug of the service."""
    yield
    logged = capsys.readouterr()
    assert "incident" not in logged.out + logged.err
    assert "Traceback" not in logged.out + logged.err


def frames_alive() -> int:
    """Frames with their bytes or pixels that are still in memory."""
    gc.collect()
    return sum(type(thing) in (EncodedFrame, DecodedFrame) for thing in gc.get_objects())


async def everything_released(server: Server, backend: PixelBackend, tasks: int) -> None:
    await eventually(lambda: backend.busy == 0)
    await eventually(lambda: server.metrics.registry.get_sample_value("actionlens_streams") == 0)
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
    await eventually(lambda: frames_alive() == 0)


@pytest.mark.usefixtures("no_incident")
@pytest.mark.parametrize(("fill", "consume"), [(BLOCK, EVERY), (DROP, NEWEST)])
@pytest.mark.parametrize("busy", [True, False])
async def test_a_stream_whose_client_leaves_is_released_at_once(
    serve: Serve, backend: PixelBackend, fill: Any, consume: Any, busy: bool
) -> None:
    async with serve() as server:
        # Health checks and the like may come and go; a first stream warms up what stays.
        async with connect(server) as stub:
            await (await (await StreamClient.open(stub)).feed(range(5))).end()
        tasks = len(asyncio.all_tasks())
        async with connect(server) as stub:
            if busy:
                backend.open.clear()
            client = await StreamClient.open(stub, fill=fill, consume=consume)
            await client.feed(range(12))
            if busy:
                await eventually(lambda: backend.busy > 0)
            await eventually(lambda: frames_alive() > 0)
            client.call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await client.reading
            await everything_released(server, backend, tasks)
        backend.open.set()
        value = server.metrics.registry.get_sample_value
        outcomes = [
            value("actionlens_frames_total", {"outcome": outcome})
            for outcome in ("used", "dropped_stale", "dropped_full", "rejected")
        ]
        call = {"grpc_type": "bidi_stream", "grpc_service": EXPLANATION_SERVICE, "grpc_method": "ExplainStream"}
        messages = value("grpc_server_msg_received_total", call)
        assert messages is not None
        # All but the two that opened and the one that ended a stream were frames.
        assert sum(count or 0 for count in outcomes) == messages - 3
        async with connect(server) as stub:
            assert (await (await (await StreamClient.open(stub)).feed(range(6))).end()).windows == 3


CLIENT = """
import sys, threading, grpc
from actionlens.v1 import service_pb2 as pb, service_pb2_grpc
from tests.service.stream_client import raw

def messages():
    yield pb.ExplainStreamRequest(open=pb.StreamOpen())
    for n in range(10):
        yield pb.ExplainStreamRequest(frame=pb.StreamFrame(sequence=n, timestamp=n / 25, raw=raw(n)))
    print("sent", flush=True)
    threading.Event().wait()

channel = grpc.insecure_channel(sys.argv[1])
for answer in service_pb2_grpc.ExplanationServiceStub(channel).ExplainStream(messages()):
    pass
"""


@pytest.mark.usefixtures("no_incident")
async def test_a_client_that_is_killed_is_released_at_once(server: Server, backend: PixelBackend) -> None:
    tasks = len(asyncio.all_tasks())
    backend.open.clear()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, f"127.0.0.1:{server.port}", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"sent\n"
        await eventually(lambda: backend.busy > 0)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    await everything_released(server, backend, tasks)


@pytest.mark.usefixtures("no_incident")
async def test_a_client_that_takes_no_answers_is_sent_away(serve: Serve, backend: PixelBackend) -> None:
    """The service waits for a slow reader, but not forever."""
    # The client's own receive buffer is small and does not grow, so that it is full after a few answers.
    small = {"grpc.http2.lookahead_bytes": 2048, "grpc.http2.bdp_probe": 0}
    async with serve(stream={"idle_seconds": 0.5}) as server, connect(server, **small) as stub:
        call = stub.ExplainStream()
        message = service_pb2.StreamOpen(
            methods=[GRAD_CAM] * 4, output={"overlay": "OVERLAY_FORMAT_JPEG"}, fill=DROP, consume=NEWEST
        )
        await call.write(service_pb2.ExplainStreamRequest(open=message))
        for number in range(2000):
            if number > 10 and server.metrics.registry.get_sample_value("actionlens_streams") == 0:
                break
            frame = service_pb2.StreamFrame(sequence=number, timestamp=number / 25, raw=raw(number % 250))
            try:
                await call.write(service_pb2.ExplainStreamRequest(frame=frame))
            except grpc.aio.AioRpcError:
                break
            await asyncio.sleep(0.005)
        else:
            pytest.fail("the stream was never given up")
        await eventually(lambda: server.metrics.registry.get_sample_value("actionlens_streams") == 0)
        await eventually(lambda: frames_alive() == 0)
        # A client that reads again after all finds its call ended.
        with contextlib.suppress(grpc.aio.AioRpcError):
            while await asyncio.wait_for(call.read(), PATIENCE) is not grpc.aio.EOF:
                pass
        assert await call.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)


@pytest.mark.usefixtures("no_incident")
async def test_clips_whose_clients_leave_are_not_answered(server: Server, backend: PixelBackend, stub: Any) -> None:
    backend.open.clear()
    calls = [asyncio.ensure_future(stub.ExplainClip(clip_request(), timeout=0.2)) for _ in range(8)]
    await asyncio.gather(*calls, return_exceptions=True)
    await eventually(lambda: backend.busy == 0)
    assert server.metrics.registry.get_sample_value("actionlens_clips_in_flight") == 0
    backend.open.set()


async def test_memory_of_streams_is_bounded(server: Server, backend: PixelBackend) -> None:
    """Cameras that send far more than can be decoded: 640 x 480 raw, 0.9 MB each, as fast as they can."""
    backend.delay = 0.01
    process = psutil.Process()

    async def run(stub: Any, frames: int) -> None:
        client = await StreamClient.open(stub, fill=DROP, consume=NEWEST)
        image = raw(100, 480)
        for number in range(frames):
            await client.push(number, raw=image)
        summary = await client.end()
        assert summary.counts.received == frames
        assert exact(summary.counts)

    async with connect(server) as one, connect(server) as two:
        await asyncio.gather(run(one, 150), run(two, 150))
        gc.collect()
        warm = process.memory_info().rss
        await asyncio.gather(run(one, 450), run(two, 450))
        gc.collect()
        # 900 frames are 620 MB; the buffers of two streams are 64 MB.
        assert process.memory_info().rss - warm < 100e6
