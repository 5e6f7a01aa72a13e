"""The onnx backend beside the torch one: the same answers, and what a graph does not hold refused by name."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
import pytest_asyncio
from onnx import TensorProto, helper

from actionlens.tensors import to_array
from actionlens.v1 import explanation_pb2, job_pb2, job_pb2_grpc, method_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.in_process import InProcessBackend
from service.backends.onnx import OnnxBackend
from service.backends.onnx.graph import Graph
from service.backends.onnx.graph_answer import answer
from service.backends.onnx.time_shares import Shares
from service.backends.protocol import Work
from service.backends.thread_backend import ThreadBackend
from service.errors import NotFound, Unavailable
from service.server import Server
from service.settings import BackendName, Settings
from tests.conftest import Exported
from tests.handlers import networks
from tests.service.conftest import connect
from tests.service.requests import GRAD_CAM, SELECTIVE, clip_request, raw_clip, refusal

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

METHODS = (
    GRAD_CAM,
    method_pb2.Method(dtd=method_pb2.Dtd()),
    SELECTIVE,
    method_pb2.Method(atr=method_pb2.Atr()),
)
SECONDS = 60.0


@pytest.fixture(scope="module")
def graphs(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one exported graph."""
    folder = tmp_path_factory.mktemp("graphs")
    shutil.copy(exported.graph, folder / "tiny.onnx")
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(exported: Exported, graphs: Path) -> AsyncIterator[tuple[ThreadBackend, ThreadBackend]]:
    """The graph's backend, and torch's of the same model."""
    made = (
        OnnxBackend(Settings(model_store=graphs, threads=1)),
        InProcessBackend(Settings(model_store=exported.folder.parent, threads=1)),
    )
    for backend in made:
        await backend.start()
    yield made
    for backend in made:
        await backend.stop()


def compute(seed: int, *methods: method_pb2.Method, target: int | None = None) -> Work:
    clip = networks.clip(seed, 4, 16, 16)
    clip[:, :8] = clip[:1, :8]  # one half stands still
    wanted = None if target is None else method_pb2.Target(explained=method_pb2.ClassSelector(index=target))
    return Work(worker_pb2.ComputeRequest(compute=worker_pb2.Compute(methods=methods, target=wanted)), clip)


@pytest.mark.parametrize(("seed", "target"), [(1, None), (2, 0), (3, 2)])
async def test_answers_are_those_of_torch(
    both: tuple[ThreadBackend, ThreadBackend], seed: int, target: int | None
) -> None:
    request = compute(seed, *METHODS, target=target)
    mine, theirs = [(await backend.compute("tiny", request, SECONDS)).response for backend in both]
    assert not mine.HasField("failure")
    np.testing.assert_allclose(
        to_array(mine.prediction.logits), to_array(theirs.prediction.logits), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        to_array(mine.prediction.frame_logits), to_array(theirs.prediction.frame_logits), rtol=1e-4, atol=1e-5
    )
    assert [score.label for score in mine.prediction.top] == [score.label for score in theirs.prediction.top]
    assert [each.method for each in mine.explanations] == [each.method for each in theirs.explanations]
    for own, other in zip(mine.explanations, theirs.explanations, strict=True):
        check_alike(own, other)


def check_alike(own: explanation_pb2.Explanation, other: explanation_pb2.Explanation) -> None:
    """Values and numbers about them are equal to 1e-4; all else is equal."""
    kind = own.WhichOneof("value")
    assert kind == other.WhichOneof("value")
    values, expected = (to_array(getattr(each, kind).values) for each in (own, other))
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-4 * max(float(np.abs(expected).max()), 1e-6))
    for name, number in number_fields(own.quality).items():
        assert number == pytest.approx(number_fields(other.quality)[name], abs=2e-4), (own.method, name)
    assert set(number_fields(own.quality)) == set(number_fields(other.quality))
    if kind == "relevance_matrix":
        assert list(own.relevance_matrix.row_lengths) == list(other.relevance_matrix.row_lengths)
        assert own.relevance_matrix.undefined == other.relevance_matrix.undefined
        assert own.relevance_matrix.average_length == pytest.approx(other.relevance_matrix.average_length, rel=1e-4)
        assert own.relevance_matrix.row_logits == pytest.approx(other.relevance_matrix.row_logits, abs=1e-5)
    else:
        assert own.saliency.signed == other.saliency.signed
        assert own.saliency.layer == other.saliency.layer
        assert own.saliency.mask == other.saliency.mask
    assert list(getattr(own, kind).frame_positions) == list(getattr(other, kind).frame_positions)
    assert own.provenance == other.provenance
    assert own.target.index == other.target.index


async def test_agreement_is_that_of_torch_and_the_gap_is_left_out(both: tuple[ThreadBackend, ThreadBackend]) -> None:
    request = compute(1, *METHODS)
    request.request.compute.output.insertion_deletion_gap = True
    mine, theirs = [(await backend.compute("tiny", request, SECONDS)).response for backend in both]
    assert mine.quality.agreement == pytest.approx(theirs.quality.agreement, abs=1e-6)
    for own, other in zip(mine.explanations, theirs.explanations, strict=True):
        assert own.quality.agreement == pytest.approx(other.quality.agreement, abs=1e-6)
        assert own.quality.gap_left_out == "an exported graph does not measure it; serve the model itself"
    assert theirs.explanations[0].quality.HasField("insertion_deletion_gap")


async def test_the_time_of_one_run_is_divided_between_prediction_and_explanations(graphs: Path) -> None:
    graph = Graph(graphs / "tiny.onnx", 1)
    absent = method_pb2.Method(clrp=method_pb2.Clrp())
    requests = [compute(1, GRAD_CAM, absent, METHODS[3]), compute(1)]
    (explained,) = answer(graph, requests[:1])
    wanted = ("logits", "explained", "frame_logits", "grad_cam", "relevance_matrix", "row_logits")
    for _ in range(5):
        graph.shares.add(wanted, 4.0, 1.0)  # more than can be measured once more
    times = answer(graph, requests[:1])[0].timings
    assert times.explain_together
    assert sum(times.explain) == pytest.approx(3 * times.forward)
    assert times.explain[0] == times.explain[2]
    assert times.explain[1] == 0  # refused, so that nothing was computed for it
    assert times.forward + sum(times.explain) <= times.total
    assert times.started >= explained.timings.started > 0
    predicted = answer(graph, requests[1:])[0].timings
    assert not predicted.explain_together
    assert not predicted.explain
    assert 0 < predicted.forward <= predicted.total


async def test_what_is_not_asked_for_is_not_computed(graphs: Path, tmp_path: Path) -> None:
    # Grad-CAM's values are looked up at a place that there is not, which only running finds out.
    model = onnx.load(graphs / "tiny.onnx")
    for node in model.graph.node:
        node.output[:] = ["before" if name == "grad_cam" else name for name in node.output]
        node.input[:] = ["before" if name == "grad_cam" else name for name in node.input]
    far = helper.make_tensor("far", TensorProto.INT64, [1], [1 << 30])
    model.graph.initializer.append(far)
    model.graph.node.extend(
        [
            helper.make_node("Add", ["target", "far"], ["place"]),
            helper.make_node("Gather", ["before", "place"], ["grad_cam"]),
        ]
    )
    onnx.save(model, tmp_path / "tiny.onnx")
    graph = Graph(tmp_path / "tiny.onnx", 1)
    (predicted,) = answer(graph, [compute(1)])
    assert predicted.prediction.top
    (related,) = answer(graph, [compute(1, METHODS[3])])
    assert related.explanations[0].HasField("relevance_matrix")
    with pytest.raises(Exception, match="out of"):
        answer(graph, [compute(1, GRAD_CAM)])


def number_fields(message: Any) -> dict[str, float]:
    return {field.name: value for field, value in message.ListFields()}


async def test_it_says_what_it_holds(both: tuple[ThreadBackend, ThreadBackend]) -> None:
    (mine,), (theirs,) = (backend.models().values() for backend in both)
    assert mine.labels == theirs.labels
    assert mine.input == theirs.input
    assert mine.weights_digest == theirs.weights_digest
    able = {entry.method for entry in mine.methods if entry.supported}
    assert able == {"grad-cam", "dtd", "selective-relevance", "atr"}
    reasons = {entry.method: entry.reason for entry in mine.methods}
    assert reasons["clrp"] == "the exported graph does not hold it; serve the model itself"
    assert "features of single ones" in reasons["esv"]  # why the model itself is not explained by it


@pytest.fixture(scope="module")
def settings(graphs: Path) -> Settings:
    ports = {"port": 0, "metrics_port": 0, "page_port": 0}
    return Settings(**ports, model_store=graphs, backend=BackendName.ONNX, threads=1, data=graphs / "data")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(settings: Settings) -> AsyncIterator[Server]:
    async with Server(settings, OnnxBackend(settings), jobs=True) as running:
        yield running


CLIP = raw_clip([10, 20, 30, 40], 16)
REFUSED = {
    "a method that the graph does not hold": (
        clip_request(method_pb2.Method(clrp=method_pb2.Clrp()), clip=CLIP),
        grpc.StatusCode.FAILED_PRECONDITION,
        "methods[0].clrp",
        "the exported graph does not hold it",
    ),
    "a parameter that it was not exported with": (
        clip_request(method_pb2.Method(grad_cam=method_pb2.GradCam(signed=True)), clip=CLIP),
        grpc.StatusCode.INVALID_ARGUMENT,
        "methods[0].grad_cam.signed",
        "exported with False",
    ),
    "a contrast": (
        clip_request(
            GRAD_CAM,
            clip=CLIP,
            target=method_pb2.Target(
                explained=method_pb2.ClassSelector(index=0), contrast=method_pb2.ClassSelector(index=1)
            ),
        ),
        grpc.StatusCode.INVALID_ARGUMENT,
        "target.contrast",
        "one class by itself",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_the_graph_cannot_answer_is_refused_by_name(server: Server, name: str) -> None:
    request, code, field, words = REFUSED[name]
    async with connect(server) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ExplainClip(request)
    found = refusal(caught.value)
    assert (found.code, found.field) == (code, field)
    assert words in found.message


async def test_the_service_answers_from_it_and_takes_no_jobs(server: Server) -> None:
    async with connect(server) as stub:
        answer = (await stub.ExplainClip(clip_request(SELECTIVE, GRAD_CAM, clip=CLIP))).answer
    assert [each.method for each in answer.explanations] == ["selective-relevance", "grad-cam"]
    assert all(each.reading for each in answer.explanations)
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
    job = job_pb2.CreateJobRequest(
        method=method_pb2.Method(occlusion=method_pb2.Occlusion()), clips=[job_pb2.JobClip(clip=CLIP)]
    )
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await job_pb2_grpc.ExplanationJobServiceStub(channel).CreateJob(job)  # type: ignore[no-untyped-call]
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "the exported graph does not hold it" in (caught.value.details() or "")


async def test_predicting_alone_is_measured_often_at_first_and_the_middle_of_the_last_holds() -> None:
    shares, outputs = Shares(), ("logits", "grad_cam")
    assert [run for run in range(1, 257) if shares.due(outputs)] == [1, 2, 4, 8, 16, 32, 64, 128, 192, 256]
    assert shares.due(("logits", "dtd"))  # counted by itself
    for alone in (0.1, 0.9, 0.5, 0.4, 0.6, 0.7):
        shares.add(outputs, 1.0, alone)
    assert shares.value(outputs) == 0.6
    for _ in range(5):
        shares.add(outputs, 1.0, 1.5)  # measured beside other work
    assert shares.value(outputs) == 1.0


def without_metadata(path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    made = helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:]), ir_version=10)
    made.opset_import[0].version = 20
    onnx.save(made, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no exported graph; write one with `actionlens models export"),
        (b"hello" * 9, r"wrong\.onnx: "),
        ("graph", r"wrong\.onnx: was not written by this version of `actionlens models export`"),
    ],
)
async def test_files_that_are_no_exports_are_refused(tmp_path: Path, content: object, message: str) -> None:
    if isinstance(content, bytes):
        (tmp_path / "wrong.onnx").write_bytes(content)
    elif content:
        without_metadata(tmp_path / "wrong.onnx")
    with pytest.raises(Unavailable, match=message):
        await OnnxBackend(Settings(model_store=tmp_path)).start()


async def test_a_model_that_has_no_graph_is_named(graphs: Path) -> None:
    with pytest.raises(NotFound, match=r"no graph of other in .*; there are: tiny"):
        await OnnxBackend(Settings(model_store=graphs, models=("other",))).start()


async def test_clips_of_another_size_fail_alone(both: tuple[ThreadBackend, ThreadBackend]) -> None:
    good = compute(2)
    short = Work(good.request, good.pixels[:3])
    replies = await asyncio.gather(*(both[0].compute("tiny", each, SECONDS) for each in (short, good)))
    assert replies[0].response.failure.field == "clip"
    assert "[4, 16, 16, 3]" in replies[0].response.failure.message
    assert replies[1].response.prediction.top
