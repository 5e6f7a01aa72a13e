"""Streams whose backend, or whose time, gives out."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from actionlens.v1 import explanation_pb2
from service.backends.protocol import Reply
from service.errors import Unavailable
from service.server import Server
from tests.service.backend import PixelBackend, frames_seen
from tests.service.conftest import Serve, connect
from tests.service.requests import refusal
from tests.service.stream_client import DROP, NEWEST, WINDOW, StreamClient, exact, refused
from tests.waiting import PATIENCE, Clock, eventually


async def test_a_file_waits_out_a_dead_worker(backend: PixelBackend, stub: Any) -> None:
    client = await StreamClient.open(stub)
    backend.failures.extend([Unavailable("worker died", retry_after=0.05)] * 3)
    for number in range(12):
        await client.send(number)
    summary = await client.end()
    assert [window.window for window in client.windows] == list(range(9))
    assert summary.skipped_windows == 0


class WithoutFirstWindow(PixelBackend):
    """Answers all windows but the one that begins with frame 0, for which so many seconds go by."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.tries = 0
        self._clock = clock
        self._seconds = seconds

    async def compute(self, model: str, request: Any, deadline: float) -> Reply:
        reply = await super().compute(model, request, deadline)
        if frames_seen(reply.response.prediction)[0] == 0:
            self.tries += 1
            self._clock.ahead += self._seconds
            raise Unavailable("worker died", retry_after=0.05)
        return reply


async def test_a_file_is_never_answered_with_a_hole(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("service.streaming.window_answer.time", clock)
    backend = WithoutFirstWindow(clock, 400.0)
    async with serve(over=backend, response_seconds=500.0) as server, connect(server) as stub:
        client = await StreamClient.open(stub)
        await client.feed(range(12))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.finish()
        assert refusal(caught.value).code is grpc.StatusCode.UNAVAILABLE
        assert [window.window for window in client.windows] == []
        # It was tried until twice the time for a batch had passed.
        assert backend.tries == 3


async def test_a_file_waits_for_a_slow_model_longer_than_a_camera_would(serve: Serve, backend: PixelBackend) -> None:
    async with serve(stream={"window_seconds": 0.05}) as server, connect(server) as stub:
        client = await StreamClient.open(stub)
        backend.failures.extend([Unavailable("busy", retry_after=0.1)] * 2)
        await client.feed(range(WINDOW))
        await client.end()
        assert [window.window for window in client.windows] == [0]


async def test_a_camera_skips_what_a_dead_worker_cannot_answer_and_says_so(backend: PixelBackend, stub: Any) -> None:
    client = await StreamClient.open(stub, fill=DROP, consume=NEWEST)
    for number in range(WINDOW):
        await client.send(number)
    await eventually(lambda: len(client.windows) == 1)
    backend.failures.extend([Unavailable("worker died"), explanation_pb2.Failure(code=13, message="out of memory")])
    for number in range(WINDOW, WINDOW + 2):
        await client.send(number)
        await eventually(lambda left=WINDOW + 1 - number: len(backend.failures) == left)
    await client.send(WINDOW + 2)
    await eventually(lambda: len(client.windows) == 2)
    await client.send(WINDOW + 3)
    summary = await client.end()
    assert [window.window for window in client.windows] == [0, 3, 4]
    assert not client.windows[2].answer.level_reason
    reason = client.windows[1].answer.level_reason
    assert "2 windows before this one not answered" in reason
    assert "out of memory" in reason
    assert (client.windows[1].skipped_windows, summary.skipped_windows) == (2, 2)
    assert exact(summary.counts)


def skipped_windows(server: Server) -> float | None:
    return server.metrics.registry.get_sample_value("actionlens_windows_skipped_total", {"model": "colours"})


class StreamClock(Clock):
    """What streams take the time from. looks: how often they have looked at it to see whether they are idle."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    async def look(self) -> None:
        """Wait until it has been looked at anew."""
        before = self.looks
        await eventually(lambda: self.looks >= before + 2)


IDLE = 1000.0
"""Seconds. Only the clock below ever lets so many pass."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StreamClock:
    made, sleep = StreamClock(), asyncio.sleep

    async def hurry(seconds: float, *result: Any) -> Any:
        # A quarter of the limit passes between two looks.
        made.looks += seconds == IDLE / 4
        return await sleep(min(seconds, 0.01), *result)

    monkeypatch.setattr("service.streaming.session.time", made)
    monkeypatch.setattr("service.streaming.receiver.time", made)
    monkeypatch.setattr(asyncio, "sleep", hurry)
    return made


async def test_a_camera_does_not_wait_for_a_dead_backend_forever(
    serve: Serve, backend: PixelBackend, clock: StreamClock
) -> None:
    async with serve(stream={"idle_seconds": IDLE}) as server, connect(server) as stub:
        client = await StreamClient.open(stub, fill=DROP, consume=NEWEST)
        backend.failures.extend([Unavailable("no worker")] * 3)
        await client.feed(range(WINDOW - 1))
        # The windows of the next three frames fail 0, 0.6 and 1.2 times the limit after the first of them.
        for failed in range(1, 3):
            await client.push(WINDOW - 2 + failed)
            await eventually(lambda count=failed: skipped_windows(server) == count)
            clock.ahead += 0.6 * IDLE
        await clock.look()
        assert not client.reading.done()
        await client.push(WINDOW + 1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.finish()
        assert refusal(caught.value).message == "no worker"


async def test_an_idle_stream_is_closed(serve: Serve, clock: StreamClock) -> None:
    async with serve(stream={"idle_seconds": IDLE}) as server, connect(server) as stub:
        client = await StreamClient.open(stub)
        await clock.look()
        assert not client.reading.done()
        clock.ahead += 1.1 * IDLE
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.finish()
        assert refusal(caught.value).reason == "STREAM_IDLE"


async def test_a_stream_that_is_not_opened_is_closed(serve: Serve) -> None:
    async with serve(stream={"idle_seconds": 0.2}) as server, connect(server) as stub:
        assert (await refused(stub.ExplainStream())).field == "open"


async def test_a_stream_that_waits_for_the_backend_is_not_idle(
    serve: Serve, backend: PixelBackend, clock: StreamClock
) -> None:
    async with serve(stream={"idle_seconds": IDLE}) as server, connect(server) as stub:
        backend.open.clear()
        client = await StreamClient.open(stub)
        await client.feed(range(WINDOW))
        await eventually(lambda: backend.busy == 1)
        clock.ahead += 2 * IDLE
        await clock.look()
        backend.open.set()
        assert (await client.end()).windows == 1


async def test_more_streams_than_allowed_are_refused_with_a_time_to_retry(serve: Serve) -> None:
    async with serve(stream={"max_streams": 2}) as server, connect(server) as stub:
        one, two = await StreamClient.open(stub), await StreamClient.open(stub)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await StreamClient.open(stub)
        found = refusal(caught.value)
        assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
        assert found.retry is not None
        await one.end()
        three = await StreamClient.open(stub)
        await asyncio.gather(two.end(), three.end())


async def test_drain_ends_streams_with_their_summary(
    serve: Serve, backend: PixelBackend, draining: asyncio.Event
) -> None:
    # A stop that waited for its time and not for the streams would never end.
    async with serve(drain_seconds=3600) as server, connect(server) as stub:
        client = await StreamClient.open(stub)
        idle = await StreamClient.open(stub)
        backend.open.clear()
        for number in range(10):
            await client.send(number)
        await eventually(lambda: backend.busy == 4)
        stopping = asyncio.create_task(server.stop())
        await draining.wait()
        backend.open.set()
        summary = await client.finish()
        assert exact(summary.counts)
        assert summary.counts.waiting == 0
        # The windows that were at the backend are answered, the others are counted as skipped.
        assert len(client.windows) == 4
        assert summary.skipped_windows == summary.windows - 4
        assert (await idle.finish()).windows == 0
        await asyncio.wait_for(stopping, PATIENCE)
