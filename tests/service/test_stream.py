"""ExplainStream over a real channel."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections import Counter
from typing import Any

import grpc
import pytest

from actionlens.v1 import answer_pb2, explanation_pb2, method_pb2, service_pb2
from service.errors import Unavailable
from service.intake import Arrival
from service.validation import method_name
from tests.service.backend import PixelBackend, frames_seen
from tests.service.client import BLOCK, DROP, EVERY, NEWEST, WINDOW, StreamClient, exact, raw, refused
from tests.service.conftest import Serve, connect
from tests.service.requests import DTD, GRAD_CAM, SELECTIVE, eventually, refusal


async def test_a_file_gets_every_window_in_order(stub: Any) -> None:
    client = await StreamClient.open(stub, GRAD_CAM)
    assert (client.opened.model, client.opened.version, client.opened.window.stride) == ("colours", "1.0", 1)
    for number in range(100):
        await client.send(number)
    summary = await client.end()
    assert [frames_seen(window.answer.prediction) for window in client.windows] == [
        list(range(last - WINDOW + 1, last + 1)) for last in range(WINDOW - 1, 100)
    ]
    assert [window.window for window in client.windows] == list(range(97))
    assert [list(window.answer.frames.used) for window in client.windows[:1]] == [[0, 1, 2, 3]]
    assert all(exact(window.counts) for window in client.windows)
    assert all(window.answer.explanations[0].reading for window in client.windows)
    counts = summary.counts
    assert (counts.received, counts.used, counts.waiting, counts.missing) == (100, 100, 0, 0)
    assert (summary.windows, summary.skipped_windows) == (97, 0)
    assert summary.elapsed.ToNanoseconds() > 0


async def test_stride_and_hop(stub: Any) -> None:
    client = await StreamClient.open(stub, window=service_pb2.Window(stride=2, hop=5))
    for number in range(30):
        await client.send(number)
    await client.end()
    assert [list(window.answer.frames.used) for window in client.windows] == [
        [end - 6, end - 4, end - 2, end] for end in (6, 11, 16, 21, 26)
    ]
    assert client.windows[0].answer.frames.effective_fps == pytest.approx(12.5)
    assert list(client.windows[0].answer.frames.timestamps) == pytest.approx([0, 0.08, 0.16, 0.24])


async def test_a_short_file_still_gets_one_answer(stub: Any) -> None:
    client = await StreamClient.open(stub)
    for number in (10, 20):
        await client.send(number)
    summary = await client.end()
    assert [list(window.answer.frames.used) for window in client.windows] == [[10, 10, 20, 20]]
    assert (summary.windows, summary.counts.used, summary.counts.missing) == (1, 2, 9)


async def test_closing_without_end_is_an_end(stub: Any) -> None:
    client = await StreamClient.open(stub)
    for number in range(5):
        await client.send(number)
    await client.call.done_writing()
    assert (await client.finish()).windows == 2


async def test_an_empty_stream_gets_its_summary(stub: Any) -> None:
    client = await StreamClient.open(stub)
    summary = await client.end()
    assert (summary.windows, summary.counts.received) == (0, 0)


async def test_a_camera_gets_the_newest_window_and_every_drop_is_counted(backend: PixelBackend, stub: Any) -> None:
    backend.delay = 0.05
    client = await StreamClient.open(stub, fill=DROP, consume=NEWEST)
    for number in range(80):
        await client.push(number)
        await asyncio.sleep(0.004)
    summary = await client.end()
    assert backend.most_busy == 1
    assert all(exact(window.counts) for window in client.windows)
    newest = [window.answer.frames.used[-1] for window in client.windows]
    assert newest == sorted(set(newest))
    assert newest[-1] == 79
    assert 3 <= len(client.windows) < 40
    assert summary.skipped_windows == summary.windows - len(client.windows)
    assert client.windows[-1].skipped_windows == summary.skipped_windows
    counts = summary.counts
    assert exact(counts)
    assert counts.waiting == 0
    assert counts.received == 80
    assert counts.used == len({frame for window in client.windows for frame in window.answer.frames.used})
    # Never late: an answer is about a frame that came at most a few computations ago.
    assert max(window.lag for window in client.windows) < 0.5


async def test_frames_that_wait_undecoded_are_dropped_oldest_first(
    serve: Serve, backend: PixelBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service import intake

    decode = intake.decode_picture

    def slow(image: bytes, *rest: Any) -> Any:
        time.sleep(0.02)
        return decode(image, *rest)

    monkeypatch.setattr(intake, "decode_picture", slow)
    async with serve(stream={"credit": 3}) as server, connect(server) as stub:
        client = await StreamClient.open(stub, fill=DROP, consume=NEWEST)
        for number in range(60):
            await client.push(number)
        summary = await client.end()
    assert summary.counts.dropped_full > 30
    assert exact(summary.counts)
    assert client.windows[-1].answer.frames.used[-1] == 59
    # The frames left are far apart; the window's time base says so by the frames that it repeats.
    assert client.windows[-1].answer.frames.effective_fps > 0


async def test_a_client_that_ignores_its_credit_is_sent_away(serve: Serve, backend: PixelBackend) -> None:
    backend.open.set()
    async with serve(stream={"credit": 4}) as server, connect(server) as stub:
        backend.open.clear()
        client = await StreamClient.open(stub)
        # Nine frames become the four windows in flight and the two that wait; twice the credit may wait undecoded.
        for number in range(9):
            await client.push(number)
        await eventually(lambda: backend.busy == 4)
        for number in range(9, 9 + 2 * 4 + 1):
            await client.push(number)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.finish()
        found = refusal(caught.value)
        assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CREDIT_IGNORED")
        backend.open.set()
        await eventually(lambda: backend.busy == 0)


async def test_a_client_that_keeps_its_credit_never_waits_in_vain(serve: Serve, backend: PixelBackend) -> None:
    async with serve(stream={"credit": 1}) as server, connect(server) as stub:
        client = await StreamClient.open(stub)
        assert client.opened.credit == 1
        for number in range(40):
            await client.send(number)
        assert (await client.end()).windows == 37


async def test_large_frames_stop_the_reading_and_nothing_is_lost(serve: Serve, backend: PixelBackend) -> None:
    async with serve(stream={"buffer_bytes": 600_000}) as server, connect(server) as stub:
        backend.open.clear()
        client = await StreamClient.open(stub)
        # 270 kB each: nine are decoded into windows in flight and waiting; the third undecoded one fills the room.
        sending = asyncio.ensure_future(client.feed(range(20), raw=raw(7, 300)))
        await eventually(lambda: backend.busy == 4)
        await asyncio.sleep(0.3)
        waiting = sum(type(thing) is Arrival for thing in gc.get_objects())
        assert 3 <= waiting <= 4
        backend.open.set()
        await sending
        summary = await client.end()
        assert (summary.windows, summary.counts.used) == (17, 20)


async def test_bad_frames_are_rejected_and_counted(stub: Any) -> None:
    client = await StreamClient.open(stub)
    for number in range(10):
        await client.send(number)
        if number == 3:
            await client.send(4, image=b"no picture", sequence=3)
            await client.send(4, image=b"no picture", sequence=2)
        if number == 6:
            await client.send(6, image=b"\xff\xd8\xff broken", sequence=6)
            await client.send(6, raw=raw(6, 16), sequence=6, timestamp=6.5 / 25)
    # Frames 7 .. 9 come after a frame of number 7 that is of another size.
    summary = await client.end()
    assert summary.counts.rejected == 4
    assert exact(summary.counts)
    assert summary.windows == 7


async def test_frames_of_another_size_are_rejected(stub: Any) -> None:
    client = await StreamClient.open(stub)
    for number in range(8):
        await client.send(number, raw=raw(number, 12 if number == 5 else 8))
    summary = await client.end()
    assert (summary.counts.received, summary.counts.rejected) == (8, 1)
    assert all(5 not in window.answer.frames.used for window in client.windows)


async def test_a_stream_of_nothing_but_bad_frames_ends_with_the_reason(stub: Any) -> None:
    client = await StreamClient.open(stub)
    await client.send(0, image=b"GIF89a")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.end()
    found = refusal(caught.value)
    assert (found.code, found.field) == (grpc.StatusCode.INVALID_ARGUMENT, "frame.image")
    # More of them than the credit end the stream at once.
    client = await StreamClient.open(stub)
    await client.feed(range(client.opened.credit + 1), image=b"GIF89a")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.finish()
    assert refusal(caught.value).field == "frame.image"


async def test_gaps_of_the_client_are_counted_and_do_not_stretch_the_window(stub: Any) -> None:
    client = await StreamClient.open(stub)
    numbers = [*range(12), *range(20, 23)]
    for number in numbers:
        await client.send(number)
    summary = await client.end()
    assert summary.counts.missing == 8
    # At frame 20 the ideal moments are 17, 18, 19: all nearer to 20 than to 11.
    assert list(client.windows[9].answer.frames.used) == [20, 20, 20, 20]
    assert list(client.windows[10].answer.frames.used) == [20, 20, 20, 21]
    assert client.windows[8].answer.frames.effective_fps == pytest.approx(25)


async def test_updates_hold_for_the_windows_after_them(stub: Any) -> None:
    client = await StreamClient.open(stub, GRAD_CAM)
    for number in range(6):
        await client.send(number)
    await client.update(
        methods=[SELECTIVE], target=method_pb2.Target(explained=method_pb2.ClassSelector(label="green"))
    )
    for number in range(6, 8):
        await client.send(number)
    await client.update(clear_methods=True)
    await client.send(8)
    await client.end()
    asked = [[entry.method for entry in window.answer.explanations] for window in client.windows]
    assert asked == [["grad-cam"]] * 3 + [["selective-relevance"]] * 2 + [[]]
    assert client.windows[4].answer.explanations[0].target.index == 1
    assert client.windows[5].answer.level == answer_pb2.EXPLANATION_LEVEL_PREDICTION


BAD_OPENINGS = {
    "a frame first": (service_pb2.ExplainStreamRequest(frame=service_pb2.StreamFrame()), "open"),
    "nothing": (service_pb2.ExplainStreamRequest(), "open"),
    "unknown model": (service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen(model="x")), "open.model"),
    "unset method": (
        service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen(methods=[method_pb2.Method()])),
        "open.methods[0]",
    ),
    "NaN": (
        service_pb2.ExplainStreamRequest(
            open=service_pb2.StreamOpen(
                methods=[
                    GRAD_CAM,
                    method_pb2.Method(selective_relevance=method_pb2.SelectiveRelevance(threshold=math.nan)),
                ]
            )
        ),
        "open.methods[1].selective_relevance.threshold",
    ),
    "long stride": (
        service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen(window=service_pb2.Window(stride=65))),
        "open.window.stride",
    ),
    "long hop": (
        service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen(window=service_pb2.Window(hop=10**6))),
        "open.window.hop",
    ),
    "unknown policy": (service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen(fill=9)), "open.fill"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", BAD_OPENINGS)
async def test_bad_openings_name_the_field(stub: Any, name: str) -> None:
    request, field = BAD_OPENINGS[name]
    call = stub.ExplainStream()
    await call.write(request)
    assert (await refused(call)).field == field


BAD_MESSAGES = {
    "opened twice": (service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen()), "open"),
    "empty": (service_pb2.ExplainStreamRequest(), "message"),
    "no picture": (service_pb2.ExplainStreamRequest(frame=service_pb2.StreamFrame(sequence=1)), "frame.picture"),
    "no time": (
        service_pb2.ExplainStreamRequest(frame=service_pb2.StreamFrame(image=b"x", timestamp=math.inf)),
        "frame.timestamp",
    ),
    "bad update": (
        service_pb2.ExplainStreamRequest(update=service_pb2.StreamUpdate(methods=[method_pb2.Method()])),
        "update.methods[0]",
    ),
}


@pytest.mark.parametrize("name", BAD_MESSAGES)
async def test_bad_messages_end_the_stream_and_name_the_field(stub: Any, name: str) -> None:
    request, field = BAD_MESSAGES[name]
    client = await StreamClient.open(stub)
    await client.call.write(request)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.finish()
    found = refusal(caught.value)
    assert (found.code, found.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)


async def test_parameters_that_the_worker_refuses_end_the_stream(backend: PixelBackend, stub: Any) -> None:
    client = await StreamClient.open(stub, GRAD_CAM)
    backend.explanation_failure = explanation_pb2.Failure(
        code=3, message="layer: no such layer", field="methods[0].grad_cam.layer", reason="UNKNOWN_LAYER"
    )
    await client.feed(range(WINDOW))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.finish()
    assert refusal(caught.value).field == "open.methods[0].grad_cam.layer"


async def test_a_refused_parameter_has_the_place_that_the_client_gave_it(backend: PixelBackend, stub: Any) -> None:
    # What was never computed is tried from below, so the worker knows Grad-CAM as its first method.
    unknown = method_pb2.Method(grad_cam=method_pb2.GradCam(layer="x"))
    client = await StreamClient.open(stub, DTD, unknown, budget=service_pb2.Budget(overhead_share=0.06))
    field = "methods[0].grad_cam.layer"
    backend.explanation_failure = explanation_pb2.Failure(
        code=3, message=f"{field}: no such layer", field=field, reason="UNKNOWN_LAYER"
    )
    await client.feed(range(2 * WINDOW))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.finish()
    assert [method_name(method) for method in backend.requests[-1].methods] == ["grad-cam"]
    found = refusal(caught.value)
    assert found.field == "open.methods[1].grad_cam.layer"
    assert found.message == "open.methods[1].grad_cam.layer: no such layer"


async def test_a_file_waits_out_a_dead_worker(backend: PixelBackend, stub: Any) -> None:
    client = await StreamClient.open(stub)
    backend.failures.extend([Unavailable("worker died", retry_after=0.05)] * 3)
    for number in range(12):
        await client.send(number)
    summary = await client.end()
    assert [window.window for window in client.windows] == list(range(9))
    assert summary.skipped_windows == 0


async def test_a_file_is_never_answered_with_a_hole(serve: Serve, backend: PixelBackend) -> None:
    async with serve(response_seconds=0.15) as server, connect(server) as stub:
        client = await StreamClient.open(stub)
        backend.failures.extend([Unavailable("worker died", retry_after=0.05)] * 100)
        await client.feed(range(12))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.finish()
        assert refusal(caught.value).code is grpc.StatusCode.UNAVAILABLE
        assert [window.window for window in client.windows] == []


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


async def test_a_camera_does_not_wait_for_a_dead_backend_for_ever(serve: Serve, backend: PixelBackend) -> None:
    async with serve(stream={"idle_seconds": 1.0}) as server, connect(server) as stub:
        client = await StreamClient.open(stub, fill=DROP, consume=NEWEST)
        backend.failures.extend([Unavailable("no worker")] * 1000)
        # The windows of the last three frames fail 0, 0.6 and 1.2 seconds after the first of them.
        for number in range(WINDOW + 2):
            await client.push(number)
            await asyncio.sleep(0.6 if number >= WINDOW - 1 else 0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.finish()
        assert refusal(caught.value).message == "no worker"


async def test_an_idle_stream_is_closed(serve: Serve) -> None:
    async with serve(stream={"idle_seconds": 0.2}) as server, connect(server) as stub:
        client = await StreamClient.open(stub)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.finish()
        assert refusal(caught.value).reason == "STREAM_IDLE"
        assert (await refused(stub.ExplainStream())).field == "open"


async def test_a_stream_that_waits_for_the_backend_is_not_idle(serve: Serve, backend: PixelBackend) -> None:
    async with serve(stream={"idle_seconds": 0.2}) as server, connect(server) as stub:
        backend.open.clear()
        client = await StreamClient.open(stub)
        for number in range(WINDOW):
            await client.send(number)
        await asyncio.sleep(0.5)
        backend.open.set()
        assert (await client.end()).windows == 1


async def test_more_streams_than_allowed_are_told_when_to_come_back(serve: Serve) -> None:
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


async def test_drain_ends_streams_with_their_summary(serve: Serve, backend: PixelBackend) -> None:
    async with serve(drain_seconds=5) as server, connect(server) as stub:
        client = await StreamClient.open(stub)
        idle = await StreamClient.open(stub)
        backend.open.clear()
        for number in range(10):
            await client.send(number)
        await eventually(lambda: backend.busy == 4)
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0.1)
        backend.open.set()
        summary = await client.finish()
        assert exact(summary.counts)
        assert summary.counts.waiting == 0
        # The windows that were at the backend are answered, the others are counted as skipped.
        assert len(client.windows) == 4
        assert summary.skipped_windows == summary.windows - 4
        assert (await idle.finish()).windows == 0
        await asyncio.wait_for(stopping, 3)


async def test_batches_can_form_from_one_file(backend: PixelBackend, stub: Any) -> None:
    backend.delay = 0.02
    client = await StreamClient.open(stub)
    for number in range(30):
        await client.send(number)
    await client.end()
    assert backend.most_busy == 4


async def test_windows_of_many_streams_do_not_mix(stub: Any) -> None:
    async def run(base: int) -> None:
        client = await StreamClient.open(stub, consume=EVERY, fill=BLOCK)
        for number in range(base, base + 20):
            await client.send(number)
        await client.end()
        seen = Counter(tuple(frames_seen(window.answer.prediction)) for window in client.windows)
        assert seen == Counter(tuple(range(base + k, base + k + WINDOW)) for k in range(17))

    await asyncio.gather(*(run(30 * k) for k in range(6)))
