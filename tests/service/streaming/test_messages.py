"""ExplainStream refuses, or counts, messages that it cannot use."""

from __future__ import annotations

import math
from typing import Any

import grpc
import numpy as np
import pytest

from actionlens.v1 import answer_pb2, explanation_pb2, method_pb2, service_pb2
from service.validation.request import method_name
from tests.service.backend import PixelBackend
from tests.service.requests import DTD, GRAD_CAM, SELECTIVE, refusal
from tests.service.stream_client import DROP, NEWEST, WINDOW, StreamClient, exact, raw, refused


async def test_bad_frames_are_rejected_and_counted(stub: Any) -> None:
    client = await StreamClient.open(stub)
    for number in range(10):
        await client.send(number)
        if number == 3:
            await client.send(4, image=b"no image", sequence=3)
            await client.send(4, image=b"no image", sequence=2)
        if number == 6:
            await client.send(6, image=b"\xff\xd8\xff broken", sequence=6)
            await client.send(6, raw=raw(6, 16), sequence=6, timestamp=6.5 / 25)
    # Frames 7 .. 9 come after a frame of number 7 that is of another size.
    summary = await client.end()
    assert summary.counts.rejected == 4
    assert exact(summary.counts)
    assert summary.windows == 7


async def test_frames_of_another_size_are_brought_to_the_first_and_counted(stub: Any) -> None:
    client = await StreamClient.open(stub)
    for number in range(12):
        await client.send(number, raw=raw(number, 12 if number >= 5 else 8))
    summary = await client.end()
    assert (summary.counts.received, summary.counts.rejected, summary.counts.resized) == (12, 0, 7)
    assert [list(window.answer.frames.used) for window in client.windows] == [list(range(n, n + 4)) for n in range(9)]
    for first, window in enumerate(client.windows):
        report = window.answer.frames
        assert (report.source_width, report.source_height) == (8, 8)
        others = sum(number >= 5 for number in range(first, first + 4))
        assert [note[:13] for note in report.notes] == ([f"{others} of 4 frames"] if others else [])


async def test_what_a_client_says_of_its_source_is_in_the_answers(stub: Any) -> None:
    client = await StreamClient.open(stub)
    for number in range(10):
        await client.send(number, note="of 2 video streams, stream 1 is taken" if number >= 5 else "")
    await client.end()
    for first, window in enumerate(client.windows):
        told = ["of 2 video streams, stream 1 is taken"] if first + 3 >= 5 else []
        assert list(window.answer.frames.notes) == told


async def test_a_live_stream_goes_on_when_its_quality_changes(stub: Any) -> None:
    client = await StreamClient.open(stub, fill=DROP, consume=NEWEST)
    for number in range(40):
        await client.send(number, raw=raw(number, 8 + 4 * (number // 10 % 2)))
    summary = await client.end()
    assert summary.counts.rejected == 0
    assert 0 < summary.counts.resized <= 20
    assert exact(summary.counts)
    assert client.windows[-1].answer.frames.used[-1] == 39


def _reset(number: int) -> float:
    """A clock that starts again at frame 10."""
    return number % 10 / 25


def _leap(number: int) -> float:
    """A clock that leaps by an hour at frame 10."""
    return number / 25 + 3600 * (number >= 10)


@pytest.mark.parametrize("clock", [_reset, _leap])
async def test_a_clock_that_jumps_is_bridged_where_nothing_may_be_lost(stub: Any, clock: Any) -> None:
    client = await StreamClient.open(stub)
    for number in range(20):
        await client.send(number, timestamp=clock(number))
    summary = await client.end()
    assert (summary.windows, summary.counts.clock_jumps) == (17, 1)
    for first, window in enumerate(client.windows):
        report = window.answer.frames
        assert list(report.used) == list(range(first, first + 4))
        assert report.effective_fps == pytest.approx(25)
        np.testing.assert_allclose(report.timestamps, np.arange(first, first + 4) / 25, atol=1e-6)
        over = first < 10 <= first + 3
        assert bool(report.notes) == over
        assert not over or report.notes[0].startswith("the source's clock jumps before frame 10;")


async def test_windows_of_a_live_source_begin_anew_after_a_break(stub: Any) -> None:
    client = await StreamClient.open(stub, fill=DROP)
    for number in range(20):
        await client.send(number, timestamp=_leap(number))
    summary = await client.end()
    assert summary.windows == 14
    used = [list(window.answer.frames.used) for window in client.windows]
    assert used == [list(range(first, first + 4)) for first in (*range(7), *range(10, 17))]
    notes = [list(window.answer.frames.notes) for window in client.windows]
    assert notes[7][0].startswith("no frames for 3600 s: windows begin anew")
    assert not any([*notes[:7], notes[-1]])
    assert all(window.answer.frames.effective_fps == pytest.approx(25) for window in client.windows)


async def test_jumps_that_the_client_bridged_are_told(stub: Any) -> None:
    client = await StreamClient.open(stub)
    for number in range(12):
        await client.send(number, clock_jumps=(number >= 4) + (number >= 6))
    summary = await client.end()
    assert summary.counts.clock_jumps == 2
    notes = [list(window.answer.frames.notes) for window in client.windows]
    assert [bool(said) for said in notes] == [first < 6 <= first + 3 or first < 4 <= first + 3 for first in range(9)]
    assert notes[3][0].startswith("the source's clock jumps before frame 4, and jumps 1 times more")


async def test_timestamps_in_another_unit_are_questioned(stub: Any) -> None:
    client = await StreamClient.open(stub)
    for number in range(12):
        await client.send(number, timestamp=40.0 * number)
    summary = await client.end()
    assert (summary.windows, summary.counts.clock_jumps) == (9, 0)
    assert list(client.windows[-1].answer.frames.notes) == [
        "0.025 frames per second by the timestamps: are they in another unit than seconds?"
    ]


async def test_a_short_gap_is_not_filled_with_copies_in_silence(stub: Any) -> None:
    client = await StreamClient.open(stub)
    for number in range(20):
        await client.send(number, timestamp=(number + 3 * (number >= 10)) / 25)
    await client.end()
    for window in client.windows:
        used = list(window.answer.frames.used)
        repeats = len(used) - len(set(used))
        said = [f"{repeats} of the 4 frames that the model sees repeat another: no others are near their moments"]
        assert list(window.answer.frames.notes) == (said if repeats else [])
    assert any(window.answer.frames.notes for window in client.windows)


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


BAD_OPEN_MESSAGES = {
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


@pytest.mark.parametrize("name", BAD_OPEN_MESSAGES)
async def test_bad_open_messages_name_the_field(stub: Any, name: str) -> None:
    request, field = BAD_OPEN_MESSAGES[name]
    call = stub.ExplainStream()
    await call.write(request)
    assert (await refused(call)).field == field


BAD_MESSAGES = {
    "opened twice": (service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen()), "open"),
    "empty": (service_pb2.ExplainStreamRequest(), "message"),
    "long note": (
        service_pb2.ExplainStreamRequest(frame=service_pb2.StreamFrame(image=b"x", note=501 * "a")),
        "frame.note",
    ),
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


async def test_a_refused_parameter_has_the_path_that_the_client_gave_it(backend: PixelBackend, stub: Any) -> None:
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
