"""ExplainClip over a real channel: answers, timings, deadlines."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import numpy as np
import pytest
import simplejpeg

from actionlens.tensors import to_array
from actionlens.v1 import answer_pb2, clip_pb2, explanation_pb2, method_pb2, service_pb2
from actionlens.worker.v1 import worker_pb2
from service.errors import Unavailable
from service.server import Server
from tests.service.backend import PixelBackend, frames_seen
from tests.service.requests import DTD, GRAD_CAM, SELECTIVE, clip_request, png, raw_clip, refusal
from tests.waiting import eventually


async def test_prediction_and_explanations_of_the_frames_that_were_sent(stub: Any) -> None:
    reply = await stub.ExplainClip(clip_request(GRAD_CAM, SELECTIVE, clip=raw_clip([0, 40, 80, 120, 160, 200, 240])))
    answer = reply.answer
    # Uniform sampling of 7 frames for 4: round(linspace(0, 6, 4)).
    assert list(answer.frames.used) == [0, 2, 4, 6]
    assert frames_seen(answer.prediction) == [0, 80, 160, 240]
    assert answer.prediction.top[0].label == "red"
    assert answer.prediction.top[0].logit == pytest.approx(120)
    assert [entry.method for entry in answer.explanations] == ["grad-cam", "selective-relevance"]
    assert to_array(answer.explanations[0].saliency.values)[:, 0, 0] == pytest.approx([0, 80, 160, 240])
    assert all(entry.reading for entry in answer.explanations)
    assert answer.level == answer_pb2.EXPLANATION_LEVEL_SELECTIVE_RELEVANCE
    assert not answer.level_reason
    assert (answer.model, answer.version) == ("colours", "1.0")
    assert list(answer.frames.timestamps) == pytest.approx([0, 0.2, 0.4, 0.6])
    assert answer.frames.effective_fps == pytest.approx(5)
    assert (answer.frames.source_width, answer.frames.placement.frame_width) == (8, 8)


@pytest.mark.parametrize(
    ("methods", "level"),
    [
        ([], answer_pb2.EXPLANATION_LEVEL_PREDICTION),
        ([GRAD_CAM], answer_pb2.EXPLANATION_LEVEL_GRAD_CAM),
        ([DTD], answer_pb2.EXPLANATION_LEVEL_TEMPORAL_RELEVANCE),
        ([DTD, GRAD_CAM], answer_pb2.EXPLANATION_LEVEL_TEMPORAL_RELEVANCE),
    ],
)
async def test_level_is_the_highest_computed(stub: Any, methods: list[method_pb2.Method], level: int) -> None:
    answer = (await stub.ExplainClip(clip_request(*methods))).answer
    assert answer.level == level
    assert len(answer.explanations) == len(methods)


async def test_a_failed_explanation_lowers_the_level_and_says_why(backend: PixelBackend, stub: Any) -> None:
    backend.explanation_failure = explanation_pb2.Failure(code=9, message="all logits negative", reason="NO_EVIDENCE")
    answer = (await stub.ExplainClip(clip_request(GRAD_CAM))).answer
    assert answer.level == answer_pb2.EXPLANATION_LEVEL_PREDICTION
    assert answer.level_reason == "grad-cam: all logits negative"
    assert answer.explanations[0].failure.reason == "NO_EVIDENCE"
    assert answer.prediction.top


@pytest.mark.parametrize(
    ("seconds", "code", "reason", "said"),
    [
        (
            30.0,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "DEADLINE_TOO_SHORT",
            "about 30 s here, longer than the deadline of ",
        ),
        (90.0, grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_COSTLY", "about 90 s here, and one request may take 60 s"),
    ],
)
async def test_what_cannot_be_done_in_time_is_refused_before_anything_is_done(
    server: Server, backend: PixelBackend, stub: Any, seconds: float, code: grpc.StatusCode, reason: str, said: str
) -> None:
    measured = worker_pb2.ComputeResponse(timings=worker_pb2.ComputeTimings(forward=0.1, explain=[seconds]))
    server.explain.costs.add("colours", [DTD], measured)
    computed = len(backend.requests)
    # The parameters were never seen, nor the two together, nor does the clip decode.
    gamma = method_pb2.Method(dtd=method_pb2.Dtd(norm="fold"))
    broken = clip_pb2.Clip(video=b"no film")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ExplainClip(clip_request(gamma, GRAD_CAM, clip=broken), timeout=20)
    refused = refusal(caught.value)
    assert (refused.code, refused.reason, refused.field) == (code, reason, "methods")
    assert said in refused.message
    assert "fewer" in refused.message
    assert len(backend.requests) == computed
    # What is not known to be expensive is done.
    assert (await stub.ExplainClip(clip_request(GRAD_CAM), timeout=20)).answer.explanations


async def test_encoded_images_and_given_indices(stub: Any) -> None:
    clip = clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=[png(red, 16) for red in (50, 100, 150)]))
    sampling = clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[2, 0, 1, 2]))
    answer = (await stub.ExplainClip(clip_request(clip=clip, sampling=sampling))).answer
    assert frames_seen(answer.prediction) == [150, 50, 100, 150]
    assert answer.frames.source_width == 16


async def test_labels_reach_the_worker_as_class_numbers(backend: PixelBackend, stub: Any) -> None:
    target = method_pb2.Target(
        explained=method_pb2.ClassSelector(label="blue light"), contrast=method_pb2.ClassSelector(index=1)
    )
    answer = (await stub.ExplainClip(clip_request(GRAD_CAM, target=target))).answer
    assert answer.explanations[0].target.index == 2
    assert backend.requests[-1].target.contrast.index == 1


async def test_timings_add_up(backend: PixelBackend, stub: Any) -> None:
    backend.delay = 0.05
    started = time.perf_counter()
    times = (await stub.ExplainClip(clip_request(GRAD_CAM, SELECTIVE))).answer.timings
    wall = time.perf_counter() - started
    assert 0.05 < times.total < wall
    assert times.transport == pytest.approx(0.002)
    assert times.forward == pytest.approx(0.008)
    assert list(times.explain) == pytest.approx([0.0004, 0.0008])
    assert times.queue >= 0.001
    assert 0 < times.decode < times.total
    assert times.encode >= 0.001


async def test_the_worker_is_told_where_the_bars_are_when_it_is_to_measure(backend: PixelBackend, stub: Any) -> None:
    backend.served["colours"].input.resize = "letterbox"
    data = bytes(4 * 4 * 8 * 3)  # 8 x 4 pixels on 8 x 8: two rows of bars above and below
    clip = clip_pb2.Clip(raw=clip_pb2.RawFrames(data=data, count=4, height=4, width=8))
    asked = answer_pb2.OutputOptions(insertion_deletion_gap=True)
    measured = (await stub.ExplainClip(clip_request(GRAD_CAM, clip=clip, output=asked))).answer
    plain = (await stub.ExplainClip(clip_request(GRAD_CAM, clip=clip))).answer
    assert backend.requests[-2].visible == worker_pb2.Rectangle(left=0, right=8, top=2, bottom=6)
    assert not backend.requests[-1].HasField("visible")
    assert measured.explanations[0].quality.insertion_deletion_gap == 0.25
    assert measured.explanations[0].reading.endswith("insertion-deletion gap +0.25")
    assert list(measured.timings.measure) == [pytest.approx(0.004)]
    assert not plain.timings.measure


@pytest.mark.parametrize("form", [answer_pb2.OVERLAY_FORMAT_JPEG, answer_pb2.OVERLAY_FORMAT_MP4])
async def test_overlays_are_drawn_when_asked_for(stub: Any, form: answer_pb2.OverlayFormat) -> None:
    request = clip_request(GRAD_CAM, output=answer_pb2.OutputOptions(overlay=form))
    overlay = (await stub.ExplainClip(request)).answer.explanations[0].overlay
    if form == answer_pb2.OVERLAY_FORMAT_JPEG:
        assert overlay.media_type == "image/jpeg"
        image = simplejpeg.decode_jpeg(overlay.data)
        assert image.shape[2] == 3
        assert np.ptp(image.astype(int)) > 0
    else:
        assert overlay.media_type == "video/mp4"
        # The overlay is itself a clip that the service can read: as many frames as the model saw.
        again = await stub.ExplainClip(clip_request(clip=clip_pb2.Clip(video=overlay.data)))
        assert list(again.answer.frames.used) == [0, 1, 2, 3]


async def test_a_deadline_of_a_millisecond_ends_at_once_and_harms_nobody(backend: PixelBackend, stub: Any) -> None:
    backend.open.clear()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ExplainClip(clip_request(), timeout=0.001)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    backend.open.set()
    assert (await stub.ExplainClip(clip_request())).answer.prediction.top


async def test_the_service_gives_up_before_a_client_without_deadline(
    backend: PixelBackend, stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.rpc.servicers.DEFAULT_DEADLINE", 0.05)
    backend.open.clear()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ExplainClip(clip_request())
    refused = refusal(caught.value)
    assert refused.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "computing" in refused.message


async def test_a_client_that_cancels_frees_its_slot(backend: PixelBackend, stub: Any) -> None:
    backend.open.clear()
    call = stub.ExplainClip(clip_request())
    waiting = asyncio.ensure_future(call)
    await eventually(lambda: backend.busy == 1)
    call.cancel()
    await eventually(lambda: backend.busy == 0)
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_models_are_listed_in_pages_and_found_by_name(stub: Any) -> None:
    reply = await stub.GetModel(service_pb2.GetModelRequest(name="colours"))
    assert reply.model.labels[2] == "blue light"
    assert reply.model.ready
    listed = await stub.ListModels(service_pb2.ListModelsRequest(page_size=1))
    assert [model.name for model in listed.models] == ["colours"]
    assert not listed.next_page_token


async def test_unavailable_tells_when_to_come_back(backend: PixelBackend, stub: Any) -> None:
    backend.failures.append(Unavailable("worker died twice", retry_after=2.5))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ExplainClip(clip_request())
    refused = refusal(caught.value)
    assert (refused.code, refused.retry) == (grpc.StatusCode.UNAVAILABLE, 2.5)
