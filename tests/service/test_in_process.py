"""The whole path with a real network: gRPC, decoding, engine, and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from actionlens.tensors import to_array
from actionlens.v1 import answer_pb2, clip_pb2, method_pb2, service_pb2
from service.backends.in_process import InProcessBackend
from service.server import Server
from service.settings import BackendName, Settings
from tests.handlers import networks
from tests.service.backends.requests import TINY, expected_logits, store
from tests.service.conftest import connect
from tests.service.requests import DTD, GRAD_CAM, SELECTIVE, clip_request, refusal
from tests.service.stream_client import StreamClient, exact


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("store"))


@pytest.fixture
async def stub(folder: Path) -> AsyncIterator[Any]:
    settings = Settings(
        port=0,
        metrics_port=0,
        page_port=0,
        model_store=folder,
        models=(TINY,),
        backend=BackendName.IN_PROCESS,
        threads=1,
    )
    async with Server(settings, InProcessBackend(settings)) as server, connect(server) as made:
        yield made


def clip(seed: int) -> clip_pb2.Clip:
    pixels = networks.clip(seed)
    count, height, width, _ = pixels.shape
    return clip_pb2.Clip(raw=clip_pb2.RawFrames(data=pixels.tobytes(), count=count, height=height, width=width))


async def test_the_numbers_are_those_of_the_network(stub: Any, folder: Path) -> None:
    reply = await stub.ExplainClip(clip_request(GRAD_CAM, SELECTIVE, clip=clip(3), model=TINY))
    answer = reply.answer
    assert to_array(answer.prediction.logits) == pytest.approx(expected_logits(folder, 3), abs=1e-5)
    assert answer.level == answer_pb2.EXPLANATION_LEVEL_SELECTIVE_RELEVANCE
    cam, selective = answer.explanations
    assert cam.provenance.weights_digest
    assert 0 <= selective.quality.motion_share <= 1
    assert to_array(selective.saliency.mask).shape == to_array(selective.saliency.values).shape
    assert answer.timings.forward > 0
    assert len(answer.timings.explain) == 2
    parts = answer.timings
    assert parts.decode + parts.forward + sum(parts.explain) < parts.total


async def test_clips_and_streams_are_measured_alike(stub: Any) -> None:
    asked = answer_pb2.OutputOptions(insertion_deletion_gap=True)
    answer = (await stub.ExplainClip(clip_request(GRAD_CAM, DTD, clip=clip(3), output=asked))).answer
    client = await StreamClient.open(stub, GRAD_CAM, DTD, output=asked)
    for number, frame in enumerate(networks.clip(3)):
        await client.send(number, raw=service_pb2.RawPicture(data=frame.tobytes(), height=12, width=16))
    await client.end()
    (window,) = client.windows
    assert answer.quality.HasField("agreement")
    assert window.answer.quality.agreement == pytest.approx(answer.quality.agreement)
    for mine, other in zip(window.answer.explanations, answer.explanations, strict=True):
        assert other.quality.agreement == pytest.approx(answer.quality.agreement)  # of two, each has that of the pair
        gap = other.quality.insertion_deletion_gap
        assert gap
        assert mine.quality.insertion_deletion_gap == pytest.approx(gap, abs=1e-5)
        assert f"insertion-deletion gap {gap:+.2f}" in other.reading
    assert all(seconds > 0 for seconds in answer.timings.measure)
    parts = answer.timings
    assert parts.forward + sum(parts.explain) + sum(parts.measure) < parts.total


BAD_PARAMETERS = {
    "no such layer": (
        method_pb2.Method(grad_cam=method_pb2.GradCam(layer="nowhere")),
        "methods[0].grad_cam.layer",
    ),
    "no such base": (
        method_pb2.Method(selective_relevance=method_pb2.SelectiveRelevance(base="nothing")),
        "methods[0].selective_relevance.base",
    ),
}


@pytest.mark.parametrize("name", BAD_PARAMETERS)
async def test_parameters_that_only_the_worker_can_judge(stub: Any, name: str) -> None:
    method, field = BAD_PARAMETERS[name]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ExplainClip(clip_request(method, clip=clip(0)))
    found = refusal(caught.value)
    assert (found.code, found.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    client = await StreamClient.open(stub, method)
    for number in range(6):
        await client.send(number)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.finish()
    assert refusal(caught.value).field == f"open.{field}"


async def test_parameters_that_their_description_bounds_are_refused_before_a_worker_is_asked(stub: Any) -> None:
    method = method_pb2.Method(selective_relevance=method_pb2.SelectiveRelevance(threshold=-1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await StreamClient.open(stub, method)
    found = refusal(caught.value)
    assert found.field == "open.methods[0].selective_relevance.threshold"
    assert "at least 0 and at most 100" in found.message


async def test_a_stream_answers_as_its_windows_would_alone(stub: Any) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (14, 12, 16, 3), dtype=np.uint8)
    client = await StreamClient.open(stub, SELECTIVE, window=service_pb2.Window(hop=2))
    for number, frame in enumerate(pixels):
        await client.send(number, raw=service_pb2.RawPicture(data=frame.tobytes(), height=12, width=16))
    summary = await client.end()
    assert exact(summary.counts)
    assert [window.answer.frames.used[-1] for window in client.windows] == [5, 7, 9, 11, 13]
    for window in client.windows:
        used = list(window.answer.frames.used)
        data = pixels[used].tobytes()
        alone = clip_pb2.Clip(raw=clip_pb2.RawFrames(data=data, count=6, height=12, width=16))
        answer = (await stub.ExplainClip(clip_request(SELECTIVE, clip=alone))).answer
        streamed = window.answer
        for mine, other in (
            (streamed.prediction.logits, answer.prediction.logits),
            (streamed.explanations[0].saliency.values, answer.explanations[0].saliency.values),
        ):
            assert to_array(mine) == pytest.approx(to_array(other), abs=1e-5)
