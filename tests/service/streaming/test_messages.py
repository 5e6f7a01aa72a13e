"""ExplainStream refuses, or counts, messages that it cannot use."""

from __future__ import annotations

import math
from typing import Any

import grpc
import pytest

from actionlens.v1 import answer_pb2, explanation_pb2, method_pb2, service_pb2
from service.validation.request import method_name
from tests.service.backend import PixelBackend
from tests.service.requests import DTD, GRAD_CAM, SELECTIVE, refusal
from tests.service.stream_client import WINDOW, StreamClient, exact, raw, refused


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
