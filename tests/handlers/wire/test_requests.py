"""Worker messages: the bytes that TorchServe carries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from actionlens.tensors import to_array
from actionlens.v1 import answer_pb2, method_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import RequestError
from handlers.wire.requests import answer, answer_bytes
from service.client.method_messages import method_messages
from tests.handlers import networks
from tests.handlers.models.architectures.test_frame_models import SMALL


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(networks.model())


def compute(seed: int = 0, **fields: object) -> worker_pb2.ComputeRequest:
    clip = networks.clip(seed)
    frames, height, width, _ = clip.shape
    body = worker_pb2.Compute(clip=clip.tobytes(), frames=frames, height=height, width=width, **fields)  # type: ignore[arg-type]
    return worker_pb2.ComputeRequest(compute=body)


def grad_cam(**parameters: object) -> method_pb2.Method:
    return method_pb2.Method(grad_cam=method_pb2.GradCam(**parameters))  # type: ignore[arg-type]


def test_numbers_arrive_as_the_engine_made_them(engine: Engine) -> None:
    request = compute(1, methods=[grad_cam(signed=True)], target=method_pb2.Target(explained={"label": "right"}))
    (reply,) = answer(engine, [request])
    (expected,) = engine.explain([ClipRequest(networks.clip(1), [MethodCall("grad-cam", {"signed": True})], "right")])
    explanation = reply.explanations[0]
    np.testing.assert_allclose(to_array(explanation.saliency.values), expected.explained[0].result.values, rtol=1e-6)  # type: ignore[union-attr]
    np.testing.assert_allclose(to_array(reply.prediction.logits), expected.logits, rtol=1e-6)  # type: ignore[union-attr]
    assert explanation.target.label == "right"
    assert explanation.saliency.signed
    assert explanation.saliency.layer == "relu2"
    assert list(explanation.saliency.frame_positions) == [0.5, 2.5, 4.5]
    assert dict(explanation.provenance.parameters) == {"signed": True, "pool_time": False, "layer": "relu2"}
    assert explanation.provenance.weights_digest == engine.model.card.weights.sha256
    assert sum(score.probability for score in reply.prediction.top) == pytest.approx(1.0)
    assert reply.timings.total >= reply.timings.forward > 0


@pytest.mark.parametrize(
    ("method", "used"),
    [
        ("grad-cam", {"layer": "relu2"}),
        ("guided-grad-cam", {"layer": "relu2"}),
        ("selective-relevance", {"base": "dtd", "upsample": False}),
        ("selective-relevance:upsample=true", {"upsample": True}),
        ("selective-relevance:base=grad-cam", {"base": "grad-cam", "upsample": True}),
        ("selective-relevance:base=grad-cam,upsample=false", {"upsample": False}),
        ("selective-relevance:base=guided-grad-cam", {"upsample": False}),
        ("atr", {"rectify": "none"}),
        ("dtd", {"rule": "z-plus"}),
    ],
)
def test_parameters_that_were_left_out_are_those_that_were_used(
    engine: Engine, method: str, used: dict[str, object]
) -> None:
    (reply,) = answer(engine, [compute(1, methods=method_messages([method]))])
    explanation = reply.explanations[0]
    assert not explanation.HasField("failure")
    parameters = dict(explanation.provenance.parameters)
    assert {name: parameters[name] for name in used} == used
    assert None not in parameters.values()


def test_a_jobs_left_out_parameters_are_those_that_were_used(engine: Engine) -> None:
    work = compute(1, methods=method_messages(["occlusion:pixels=5"])).compute
    (reply,) = answer(engine, [worker_pb2.ComputeRequest(advance=worker_pb2.Advance(compute=work, result=True))])
    used = dict(reply.explanations[0].provenance.parameters)
    assert (used["frames"], used["pixels"]) == (1, 5)


def test_a_rule_travels_with_its_parameter_and_a_wrong_one_is_named(engine: Engine) -> None:
    methods = method_messages(["dtd:rule=gamma,gamma=0.5", "dtd:rule=gamma,gamma=-1", "dtd:rule=alpha-beta,alpha=0"])
    (reply,) = answer(engine, [compute(1, methods=methods)])
    good, low, zero = reply.explanations
    used = dict(good.provenance.parameters)
    assert (used["rule"], used["gamma"]) == ("gamma", 0.5)
    assert to_array(good.saliency.values).any()
    assert (low.failure.field, low.failure.reason) == ("methods[1].dtd.gamma", "BAD_PARAMETER")
    assert (zero.failure.field, zero.failure.reason) == ("methods[2].dtd.alpha", "BAD_PARAMETER")


@pytest.mark.parametrize(
    ("encoding", "tolerance"),
    [
        (answer_pb2.VALUE_ENCODING_FLOAT32, 1e-7),
        (answer_pb2.VALUE_ENCODING_FLOAT16, 1e-3),
        (answer_pb2.VALUE_ENCODING_UINT8, 1 / 500),
    ],
)
def test_encodings_keep_what_they_promise(engine: Engine, encoding: int, tolerance: float) -> None:
    method = grad_cam(signed=True)
    output = answer_pb2.OutputOptions(encoding=encoding)  # type: ignore[arg-type]
    exact, packed = answer(engine, [compute(methods=[method]), compute(methods=[method], output=output)])
    values = to_array(exact.explanations[0].saliency.values)
    error = np.abs(to_array(packed.explanations[0].saliency.values) - values).max()
    assert error <= tolerance * np.ptp(values)


def test_the_mask_is_bits(engine: Engine) -> None:
    method = method_pb2.Method(selective_relevance=method_pb2.SelectiveRelevance(threshold=0.5))
    (reply,) = answer(engine, [compute(methods=[method])])
    mask = to_array(reply.explanations[0].saliency.mask)
    assert mask.shape == to_array(reply.explanations[0].saliency.values).shape
    assert set(np.unique(mask)) == {0.0, 1.0}
    assert reply.explanations[0].quality.HasField("motion_share")


def test_failures_stay_with_their_item(engine: Engine) -> None:
    short = compute()
    short.compute.clip = short.compute.clip[:-1]
    bodies = [compute().SerializeToString(), b"\xff\xff", bytearray(short.SerializeToString()), b""]
    good, noise, bad, empty = map(worker_pb2.ComputeResponse.FromString, answer_bytes(engine, bodies))
    assert not good.HasField("failure")
    assert noise.failure.reason == "BAD_ENVELOPE"
    assert bad.failure.field == "clip"
    assert empty.failure.reason == "WRONG_CLIP_SHAPE"


def test_a_bad_parameter_is_named_as_in_the_request(engine: Engine) -> None:
    (reply,) = answer(engine, [compute(methods=[grad_cam(), grad_cam(layer="nowhere")])])
    assert not reply.explanations[0].HasField("failure")
    failure = reply.explanations[1].failure
    assert failure.field == "methods[1].grad_cam.layer"
    assert failure.message.startswith("methods[1].grad_cam.layer: layer 'nowhere' does not exist")


def test_a_message_names_its_parameter_once(engine: Engine) -> None:
    method = method_pb2.Method(selective_relevance=method_pb2.SelectiveRelevance(threshold=300))
    (reply,) = answer(engine, [compute(methods=[method])])
    message = reply.explanations[0].failure.message
    assert message == "methods[0].selective_relevance.threshold: Input should be less than or equal to 100"


def test_describe_tells_what_the_model_is(engine: Engine) -> None:
    (reply,) = answer(engine, [worker_pb2.ComputeRequest(describe=worker_pb2.Describe())])
    model = reply.model
    assert (model.name, list(model.labels), model.input.frames) == ("tiny", list(networks.LABELS), 6)
    methods = {support.method: support for support in model.methods}
    assert methods["grad-cam"].supported
    threshold = {entry.name: entry for entry in methods["selective-relevance"].parameters}["threshold"]
    assert (threshold.type, threshold.default_value) == ("number", "4.0")
    rules = {entry.name: (entry.type, entry.default_value) for entry in methods["dtd"].parameters}
    numbers = {"alpha": ("number", "2.0"), "beta": ("number", "1.0"), "gamma": ("number", "0.25")}
    choices = {"norm": ("string", '"identity"'), "add": ("string", '"proportional"')}
    assert rules == {"rule": ("string", '"z-plus"')} | numbers | choices


def test_running_out_of_memory_is_a_failure_of_the_batch_only(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def exhausted(*_: object) -> None:
        raise torch.OutOfMemoryError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(engine.model, "prepare", exhausted)
        (reply,) = answer(engine, [compute()])
    assert reply.failure.reason == "ENGINE_FAILED"
    assert "the batch failed" in caplog.text
    (reply,) = answer(engine, [compute()])
    assert not reply.HasField("failure")


class Watched(Engine):
    """Keeps the clips that it was asked about."""

    clips: list[np.ndarray]

    def explain(self, requests: Sequence[ClipRequest]) -> list[ClipAnswer | RequestError]:
        self.clips = [request.clip for request in requests]
        return super().explain(requests)


def test_pixels_beside_the_messages_are_used_as_they_are() -> None:
    engine = Watched(networks.model())
    pixels = [networks.clip(seed) for seed in (1, 2)]
    before = [clip.copy() for clip in pixels]
    bare = worker_pb2.ComputeRequest(compute=worker_pb2.Compute(methods=[grad_cam()]))
    replies = answer(engine, [bare, bare], pixels)
    assert all(used is given for used, given in zip(engine.clips, pixels, strict=True))
    np.testing.assert_array_equal(pixels, before)
    for reply, whole in zip(
        replies, answer(engine, [compute(seed, methods=[grad_cam()]) for seed in (1, 2)]), strict=True
    ):
        assert reply.prediction == whole.prediction
        assert reply.explanations == whole.explanations


def test_values_per_frame_travel_with_their_unit() -> None:
    pixels = networks.clip(frames=6)
    frames, height, width, _ = pixels.shape
    averaging = Engine(networks.model(architecture="tsn", arguments=SMALL, layer=""))
    for call, unit in (
        ("esv", "probability"),
        ("esv:score=logit", "log-probability"),
        ("frame-shapley", "probability"),
    ):
        state, done = b"", False
        while not done:
            sent = worker_pb2.Compute(
                clip=pixels.tobytes(), frames=frames, height=height, width=width, methods=method_messages([call])
            )
            block = worker_pb2.Advance(compute=sent, state=state, budget_seconds=3600, result=True)
            (reply,) = answer(averaging, [worker_pb2.ComputeRequest(advance=block)])
            assert isinstance(reply, worker_pb2.ComputeResponse)
            state, done = reply.advanced.state, reply.advanced.done
        (explanation,) = reply.explanations
        assert explanation.frame_attribution.unit == unit
        assert {curve.unit for curve in explanation.curves} == {"probability"}
        assert dict(explanation.provenance.parameters).get("score") == (call.partition("=")[2] or "probability") or (
            call == "frame-shapley"
        )
