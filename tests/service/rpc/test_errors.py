"""Bad requests: each gets a documented status that names the field, and the next request is served."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import grpc
import pytest

from actionlens.v1 import answer_pb2, clip_pb2, explanation_pb2, method_pb2, service_pb2
from tests.service.backend import PixelBackend, describe
from tests.service.conftest import Serve, connect
from tests.service.requests import GRAD_CAM, SELECTIVE, Refusal, clip_request, refusal
from tests.waiting import eventually

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND


def selective(**parameters: Any) -> method_pb2.Method:
    return method_pb2.Method(selective_relevance=method_pb2.SelectiveRelevance(**parameters))


def target(**fields: Any) -> method_pb2.Target:
    return method_pb2.Target(**{name: method_pb2.ClassSelector(**chosen) for name, chosen in fields.items()})


BAD = {
    "no clip": (clip_request(clip=clip_pb2.Clip()), INVALID, "clip", ["video", "frames", "raw"]),
    "unset method": (clip_request(GRAD_CAM, method_pb2.Method()), INVALID, "methods[1]", ["grad_cam"]),
    "17 methods": (clip_request(*[GRAD_CAM] * 17), INVALID, "methods", ["16"]),
    "NaN parameter": (
        clip_request(GRAD_CAM, selective(threshold=math.nan)),
        INVALID,
        "methods[1].selective_relevance.threshold",
        ["finite"],
    ),
    "infinite parameter": (
        clip_request(selective(threshold=-math.inf)),
        INVALID,
        "methods[0].selective_relevance.threshold",
        ["finite"],
    ),
    "endless text": (clip_request(selective(base="x" * 300)), INVALID, "methods[0].selective_relevance.base", ["256"]),
    "NaN frame rate": (
        clip_request(clip=clip_pb2.Clip(raw=clip_pb2.RawFrames(data=b"", count=1, height=1, width=1, fps=math.nan))),
        INVALID,
        "clip.raw.fps",
        ["finite"],
    ),
    "unknown encoding": (
        clip_request(output=answer_pb2.OutputOptions(encoding=99)),  # type: ignore[arg-type]
        INVALID,
        "output.encoding",
        ["VALUE_ENCODING_FLOAT16"],
    ),
    "unknown model": (clip_request(model="nope"), NOT_FOUND, "model", ["colours 1.0"]),
    "unknown version": (clip_request(model="colours", version="9"), NOT_FOUND, "version", ["1.0"]),
    "unknown label": (
        clip_request(target=target(explained={"label": "Blue lihgt"})),
        INVALID,
        "target.explained.label",
        ["did you mean 'blue light'"],
    ),
    "unknown class": (
        clip_request(target=target(explained={"index": 0}, contrast={"index": 3})),
        INVALID,
        "target.contrast.index",
        ["0 to 2"],
    ),
    "contrast unset": (clip_request(target=target(contrast={})), INVALID, "target.contrast", ["index or label"]),
    "contrast with itself": (
        clip_request(target=target(explained={"index": 1}, contrast={"label": "green"})),
        INVALID,
        "target.contrast",
        ["green"],
    ),
    "too few bytes": (
        clip_request(clip=clip_pb2.Clip(raw=clip_pb2.RawFrames(data=b"x", count=2, height=4, width=4))),
        INVALID,
        "clip.raw.data",
        ["96"],
    ),
    "text for a video": (clip_request(clip=clip_pb2.Clip(video=b"not a video" * 50)), INVALID, "clip.video", []),
    "frame beyond the end": (
        clip_request(sampling=clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[0, 1, 2, 9]))),
        INVALID,
        "sampling.indices.values[3]",
        [],
    ),
}


async def refused(stub: Any, request: service_pb2.ExplainClipRequest) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ExplainClip(request)
    return refusal(caught.value)


@pytest.mark.parametrize("name", BAD)
async def test_bad_requests_name_the_field_and_what_would_work(stub: Any, name: str) -> None:
    request, code, field, hints = BAD[name]
    found = await refused(stub, request)
    assert (found.code, found.field) == (code, field)
    assert all(hint in found.message for hint in hints), found.message
    assert (await stub.ExplainClip(clip_request())).answer.prediction.top


async def test_identical_methods_are_fine(stub: Any) -> None:
    answer = (await stub.ExplainClip(clip_request(*[GRAD_CAM] * 16))).answer
    assert len(answer.explanations) == 16


async def test_a_method_that_cannot_explain_the_model_is_refused_with_the_reason(serve: Serve) -> None:
    model = describe()
    model.methods[1].supported = False
    model.methods[1].reason = "the head pools over time"
    async with serve(over=PixelBackend(model)) as server, connect(server) as stub:
        found = await refused(stub, clip_request(GRAD_CAM, SELECTIVE))
        assert found.code is grpc.StatusCode.FAILED_PRECONDITION
        assert found.field == "methods[1].selective_relevance"
        assert "the head pools over time; methods that can: grad-cam" in found.message
        assert (await stub.ExplainClip(clip_request(GRAD_CAM))).answer.explanations


async def test_parameters_that_the_worker_refuses_refuse_the_request(backend: PixelBackend, stub: Any) -> None:
    backend.explanation_failure = explanation_pb2.Failure(
        code=3, message="layer: no layer 'x'", field="methods[0].grad_cam.layer", reason="UNKNOWN_LAYER"
    )
    found = await refused(stub, clip_request(GRAD_CAM))
    assert (found.code, found.field, found.reason) == (INVALID, "methods[0].grad_cam.layer", "UNKNOWN_LAYER")


@pytest.mark.parametrize(
    ("code", "status"), [(3, INVALID), (13, grpc.StatusCode.INTERNAL), (77, grpc.StatusCode.INTERNAL)]
)
async def test_a_refusal_of_the_worker_keeps_its_code(
    backend: PixelBackend, stub: Any, code: int, status: grpc.StatusCode
) -> None:
    backend.failures.append(explanation_pb2.Failure(code=code, message="no", reason="WHY"))
    found = await refused(stub, clip_request())
    assert (found.code, found.reason) == (status, "WHY")


async def test_a_bug_is_an_incident_and_no_traceback(
    backend: PixelBackend, stub: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    backend.failures.append(ZeroDivisionError("secret of the house"))
    found = await refused(stub, clip_request())
    assert found.code is grpc.StatusCode.INTERNAL
    assert "secret" not in found.message
    incident = found.message.rsplit(" ", 1)[1]
    logged = capsys.readouterr()
    assert incident in logged.out + logged.err
    assert "ZeroDivisionError" in logged.out + logged.err
    assert (await stub.ExplainClip(clip_request())).answer.prediction.top


async def test_a_message_that_is_too_large_never_reaches_the_service(backend: PixelBackend, stub: Any) -> None:
    before = len(backend.requests)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ExplainClip(clip_request(clip=clip_pb2.Clip(video=bytes(50 * 2**20))))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(backend.requests) == before
    assert (await stub.ExplainClip(clip_request())).answer.prediction.top


async def test_more_clips_than_there_is_room_for_are_sent_away(serve: Serve, backend: PixelBackend) -> None:
    backend.places = 2
    async with serve(queue=3) as server, connect(server) as stub:
        backend.open.clear()
        calls = [asyncio.ensure_future(stub.ExplainClip(clip_request())) for _ in range(7)]
        await eventually(lambda: sum(call.done() for call in calls) == 2)
        for call in calls:
            if call.done():
                found = refusal(call.exception())
                assert found.code is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert found.retry is not None
                assert found.retry > 0
        backend.open.set()
        answers = [reply for reply in await asyncio.gather(*calls, return_exceptions=True)]
        assert sum(isinstance(reply, service_pb2.ExplainClipResponse) for reply in answers) == 5


async def test_more_calls_than_the_server_takes_are_sent_away(serve: Serve, backend: PixelBackend) -> None:
    async with serve(queue=1) as server, connect(server) as stub:
        backend.open.clear()
        backend.places = 1000
        # Of the 66 places for calls, a connection may hold half.
        calls = [asyncio.ensure_future(stub.ExplainClip(clip_request())) for _ in range(40)]
        await eventually(lambda: sum(call.done() for call in calls) == 7)
        for call in calls:
            if call.done():
                found = refusal(call.exception())
                assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
                assert found.retry is not None
        backend.open.set()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_paging_walks_over_all_models_once(serve: Serve) -> None:
    many = PixelBackend(*(describe(f"m{n:02}") for n in range(7)))
    async with serve(over=many, default_model="m03") as server, connect(server) as stub:
        seen, token = [], ""
        while True:
            page = await stub.ListModels(service_pb2.ListModelsRequest(page_size=3, page_token=token))
            seen.append([model.name for model in page.models])
            token = page.next_page_token
            if not token:
                break
        assert seen == [["m00", "m01", "m02"], ["m03", "m04", "m05"], ["m06"]]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListModels(service_pb2.ListModelsRequest(page_token="%%%"))
        assert refusal(caught.value).field == "page_token"
        assert (await stub.ExplainClip(clip_request())).answer.model == "m03"
        for request, field in (
            (service_pb2.GetModelRequest(name="x"), "name"),
            (service_pb2.GetModelRequest(), "name"),
            (service_pb2.GetModelRequest(name="m01", version="2"), "version"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetModel(request)
            assert refusal(caught.value).field == field


async def test_a_long_message_fits_into_the_trailers(serve: Serve) -> None:
    models = [describe(f"model-{n:03}-{'x' * 40}") for n in range(200)]
    async with serve(over=PixelBackend(*models), default_model=models[0].name) as server, connect(server) as stub:
        found = await refused(stub, clip_request(model="nope"))
        assert found.code is NOT_FOUND
        assert len(found.message) <= 1000
