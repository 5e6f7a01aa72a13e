"""What one request of a batch is answered does not depend on the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from actionlens.row_lengths import row_lengths
from actionlens.tensors import to_array
from actionlens.v1 import answer_pb2, method_pb2, tensor_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.action_handler import ActionHandler
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import RequestError
from handlers.explainers import Explainer, methods
from handlers.explainers.attribution import FrameAttribution, Quality, RelevanceMatrix, SaliencyVolume
from handlers.explainers.live.atr import EXPLAINER as ATR
from handlers.explainers.live.dtd import EXPLAINER as DTD
from handlers.explainers.live.selective_relevance import time_derivative
from handlers.models import Family, family
from handlers.models import family_registry as registry
from handlers.models.action_model import ActionModel
from handlers.wire.requests import answer
from tests.handlers import networks

RAISES, OVERFLOWS = 253, 254
"""Frames of this value alone: the model fails on them, or its activations are not finite."""
TIMESFORMER = {
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "num_frames": 4,
    "intermediate_size": 20,
    "patch_size": 8,
}


class Smooth(nn.Module):
    """Without a relevance rule for its activation."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.Hardswish())
        self.classifier = nn.Linear(4, classes)

    def forward(self, clip: Tensor) -> Tensor:
        return self.classifier(self.features(clip).mean((2, 3, 4)))


class Brittle(ActionModel):
    """Fails on some frames, as a bug or a lack of memory would."""

    def prepare(self, clips: Sequence[NDArray[np.uint8]]) -> Tensor:
        frames = [clip.reshape(len(clip), -1) for clip in clips]
        if any((clip == RAISES).all(1).any() for clip in frames):
            raise RuntimeError("this clip cannot be prepared")
        prepared = super().prepare(clips)
        for item, clip in enumerate(frames):
            prepared[item, :, torch.from_numpy((clip == OVERFLOWS).all(1))] = torch.inf
        return prepared


def brittle(**changes: object) -> Engine:
    made = networks.card(**changes)
    return Engine(Brittle(made, networks.module(made).eval()))


@pytest.fixture(scope="module")
def engines() -> Mapping[str, Engine]:
    every = registry.families() | {
        "smooth": Family(name="smooth", summary="", build=Smooth, layer="features", traceable=False)
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "families", lambda: every)
        smooth = brittle(architecture="smooth", arguments={}, layer="")
    pixels = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)}
    size = {"height": 16, "width": 16, **pixels}
    frames = {"channels": [4, 6], "cells": 2, "width": 5}
    slowfast = family("slowfast-r50-8x8").small
    two_windows = {"frames": 12, "windows": 2, "sampling": "dense", "height": 12, "width": 16, **pixels}
    return {
        "conv3d": brittle(),
        "tsn": brittle(architecture="tsn", arguments=frames, layer="", input={"frames": 6, **size}),
        "timesformer": brittle(
            architecture="timesformer", arguments=TIMESFORMER, layer="", input={"frames": 4, **size}
        ),
        "smooth": smooth,
        "trn": brittle(
            architecture="trn",
            arguments={**frames, "hidden": 5, "scales": 3, "snippet": 2},
            layer="",
            input={"frames": 6, **size},
        ),
        "slowfast": brittle(
            architecture="slowfast-r50-8x8",
            arguments=dict(slowfast.arguments),
            layer="",
            input={"frames": slowfast.frames, "height": slowfast.size, "width": slowfast.size, **pixels},
        ),
        "windows": brittle(input=two_windows),
    }


CALLS = [
    *(MethodCall(entry.name) for entry in methods().values() if isinstance(entry, Explainer)),
    MethodCall("grad-cam", {"pool_time": True}),
    MethodCall("grad-cam", {"signed": True, "layer": "relu1"}),
    MethodCall("grad-cam", {"layer": "fc1"}),  # no map over time and space
    MethodCall("grad-cam", {"layer": "nowhere"}),
    MethodCall("guided-grad-cam", {"layer": "relu1"}),
    MethodCall("dtd", {"rule": "gamma", "gamma": 0.5}),
    MethodCall("dtd", {"rule": "alpha-beta"}),
    MethodCall("dtd", {"norm": "fold", "add": "positive"}),
    MethodCall("clrp", {"rectify": False}),
    MethodCall("clrp", {"norm": "fold"}),
    MethodCall("atr", {"blocks": True}),
    MethodCall("atr", {"relevance": "clrp", "add": "positive"}),
    MethodCall("selective-relevance", {"base": "grad-cam", "upsample": False, "threshold": 1.0}),
    MethodCall("clrp", {"rectify": 3}),
    MethodCall("atr", {"relevance": "clrp", "rectify": "element"}),
    MethodCall("atr", {"relevance": "clrp", "rectify": "frame", "share": 0.5}),
    MethodCall("atr", {"rectify": "element"}),
    *(
        MethodCall("selective-relevance", {"base": base, "threshold": 1.0})
        for base in ("clrp", "grad-cam", "guided-backprop", "guided-grad-cam", "attention-rollout", "atr", "nothing")
    ),
    MethodCall("selective-relevance", {"peer": True, "threshold": 1.0}),
    MethodCall("selective-relevance", {"signed": True, "threshold": 0.5}),
    MethodCall("occlusion"),  # runs as a job
    MethodCall("tea-leaves"),
]
CLASSES: list[Any] = [None, None, 0, 1, 2, "left", "right", "still", "up", 3, True, -1]


@st.composite
def requests(draw: st.DrawFn, engine: Engine) -> ClipRequest:
    own = engine.model.card.input
    frames = draw(st.sampled_from([1, 3, own.frames, own.frames])) if engine.model.most_frames else own.frames
    shape = (frames, own.height, own.width, 3)
    match draw(st.sampled_from(["noise"] * 6 + ["raises", "overflows", "shape", "type"])):
        case "noise":
            pixels = np.random.default_rng(draw(st.integers(0, 3))).integers(0, 256, shape, dtype=np.uint8)
        case "raises":
            pixels = np.full(shape, RAISES, np.uint8)
        case "overflows":
            pixels = np.full(shape, OVERFLOWS, np.uint8)
        case "shape":
            pixels = np.zeros((frames, 5, 5, 3), np.uint8)
        case _:
            pixels = np.zeros(shape, np.uint16)
    calls = draw(st.lists(st.sampled_from(CALLS), max_size=3))
    return ClipRequest(pixels, calls, draw(st.sampled_from(CLASSES)), draw(st.sampled_from(CLASSES)))


@pytest.mark.parametrize("name", ["conv3d", "tsn", "timesformer", "smooth", "trn", "slowfast", "windows"])
@settings(max_examples=40)
@given(data=st.data())
def test_every_item_of_a_batch_is_answered_as_it_would_be_alone(
    engines: Mapping[str, Engine], name: str, data: st.DataObject
) -> None:
    engine = engines[name]
    batch = data.draw(st.lists(requests(engine), min_size=2, max_size=5))
    for request, together in zip(batch, engine.explain(batch), strict=True):
        (alone,) = engine.explain([request])
        same_answer(together, alone)


@st.composite
def items(draw: st.DrawFn, engine: Engine) -> bytes:
    """Messages to a worker: clips, blocks of jobs, questions, and what is no message."""
    kind = draw(st.sampled_from(["compute"] * 5 + ["advance", "describe", "no message"]))
    if kind == "no message":
        return b"\xff\xff"
    if kind == "describe":
        return worker_pb2.ComputeRequest(describe=worker_pb2.Describe()).SerializeToString()
    compute = message(draw(requests(engine)))
    compute.output.top_k = draw(st.integers(0, 3))
    compute.output.encoding = draw(st.sampled_from(answer_pb2.ValueEncoding.values()))
    if kind == "compute":
        return worker_pb2.ComputeRequest(compute=compute).SerializeToString()
    del compute.methods[:]
    compute.methods.add(**draw(st.sampled_from([{"frame_shapley": {}}, {"occlusion": {}}, {"esv": {}}, {"dtd": {}}])))
    block = worker_pb2.Advance(compute=compute, seed=draw(st.integers(0, 2)), result=True)
    return worker_pb2.ComputeRequest(advance=block).SerializeToString()


def message(request: ClipRequest) -> worker_pb2.Compute:
    frames, height, width, _ = request.clip.shape
    compute = worker_pb2.Compute(clip=request.clip.tobytes(), frames=frames, height=height, width=width)
    for call in request.methods:
        field = call.name.replace("-", "_")
        if field in method_pb2.Method.DESCRIPTOR.fields_by_name and call.parameters.get("rectify") != 3:
            compute.methods.add(**{field: dict(call.parameters)})
    for name, wanted in (("explained", request.target), ("contrast", request.contrast)):
        if isinstance(wanted, str):
            getattr(compute.target, name).label = wanted
        elif wanted is not None and wanted >= 0:
            getattr(compute.target, name).index = int(wanted)
    return compute


@pytest.mark.parametrize("name", ["conv3d", "tsn", "slowfast"])
@settings(max_examples=25)
@given(data=st.data())
def test_every_message_of_a_batch_of_torchserves_is_answered_as_it_would_be_alone(
    engines: Mapping[str, Engine], name: str, data: st.DataObject
) -> None:
    handler = ActionHandler()
    handler._engine = engines[name]
    batch = [{"body": bytearray(item)} for item in data.draw(st.lists(items(engines[name]), min_size=2, max_size=5))]
    for item, together in zip(batch, handler.handle(batch, None), strict=True):
        (alone,) = handler.handle([item], None)
        same_message(*(worker_pb2.ComputeResponse.FromString(reply) for reply in (together, alone)))


_DECIDED_BY_ROUNDING = {"timings", "row_lengths", "average_length", "maximum_length", "mask", "state"}


def same_message(one: Message, other: Message) -> None:
    """Equal but for times, rounding, and what rounding decides (compared in the test above)."""
    if isinstance(one, tensor_pb2.Tensor) and isinstance(other, tensor_pb2.Tensor):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        found, expected = (torch.from_numpy(to_array(each).copy()) for each in (one, other))
        span = float(expected.max() - expected.min()) if expected.numel() else 0.0
        # Bytes stand for values up to 1/255 of the range apart, half precision for 1 part in 1024.
        quantum = span / 200 if one.dtype == tensor_pb2.DATA_TYPE_UINT8 else 0.0
        scale = float(expected.abs().max()) if expected.numel() else 0.0
        torch.testing.assert_close(found, expected, rtol=2e-3, atol=quantum + 1e-4 * scale + 1e-8)
        return
    own, given_ = ({field.name: value for field, value in each.ListFields()} for each in (one, other))
    assert own.keys() == given_.keys()
    for field, value in own.items():
        if field not in _DECIDED_BY_ROUNDING:
            same_value(value, given_[field])


def same_value(one: object, other: object) -> None:
    match one, other:
        case Message(), Message():
            same_message(one, other)
        case float(), float():
            assert nearly(one, other, 0.01) or math.isnan(one) == math.isnan(other) is True
        case Mapping(), Mapping():
            assert one.keys() == other.keys()
            for key in one:
                same_value(one[key], other[key])
        case str() | bytes() | int(), _:
            assert one == other
        case Sequence(), Sequence():
            assert len(one) == len(other)
            for a, b in zip(one, other, strict=True):
                same_value(a, b)
        case _:
            raise AssertionError(f"{one!r} is not {other!r}")


def same_answer(one: ClipAnswer | RequestError, other: ClipAnswer | RequestError) -> None:
    if isinstance(one, RequestError) or isinstance(other, RequestError):
        same_error(one, other)
        return
    close(one.logits, other.logits)
    assert (one.frame_logits is None) == (other.frame_logits is None)
    if one.frame_logits is not None and other.frame_logits is not None:
        close(one.frame_logits, other.frame_logits)
    assert one.target == other.target
    assert len(one.explained) == len(other.explained)
    for own, given_ in zip(one.explained, other.explained, strict=True):
        assert (own.method, own.parameters) == (given_.method, given_.parameters)
        same_result(own.result, given_.result, own.parameters)


def same_error(one: object, other: object) -> None:
    assert isinstance(one, RequestError), one
    assert isinstance(other, RequestError), other
    assert (one.message, one.field, one.reason, one.code) == (other.message, other.field, other.reason, other.code)


def same_result(one: object, other: object, parameters: Mapping[str, Any]) -> None:
    """Equal but for rounding, and for what rounding decides: a change, or a share, that is at its threshold."""
    match one, other:
        case SaliencyVolume(), SaliencyVolume():
            close(one.values, other.values)
            assert (one.frame_positions, one.layer, one.signed) == (other.frame_positions, other.layer, other.signed)
            assert (one.mask is None) == (other.mask is None)
            if one.mask is not None and other.mask is not None:
                changes = time_derivative(other.values, zero_padding=parameters["peer"]).abs()
                at_threshold = one.mask != other.mask
                assert float(at_threshold.float().mean()) < 0.01
                bound = changes[other.mask].min() if other.mask.any() else changes.max()
                close(changes[at_threshold], bound.expand(int(at_threshold.sum())))
        case RelevanceMatrix(), RelevanceMatrix():
            close(one.values, other.values)
            close(one.row_logits, other.row_logits)
            assert (one.frame_positions, one.undefined) == (other.frame_positions, other.undefined)
            for own, length in zip(row_bounds(one, parameters["share"]), other.row_lengths, strict=True):
                assert own[0] <= length <= own[1] or length == 0
            if one.row_lengths == other.row_lengths:
                assert nearly(one.average_length, other.average_length, 1e-4)
                assert one.maximum_length == other.maximum_length
        case FrameAttribution(), FrameAttribution():
            close(one.values, other.values)
        case _:
            same_error(one, other)
            return
    assert isinstance(one, SaliencyVolume | RelevanceMatrix | FrameAttribution)
    assert isinstance(other, SaliencyVolume | RelevanceMatrix | FrameAttribution)
    for entry in fields(Quality):
        assert nearly(getattr(one.quality, entry.name), getattr(other.quality, entry.name), 0.01), entry.name
    assert one.details.notes == other.details.notes


def nearly(one: float | None, other: float | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= tolerance * max(1.0, abs(other))


def row_bounds(matrix: RelevanceMatrix, share: float) -> list[tuple[int, int]]:
    rows = matrix.values.double().tolist()
    low, high = (row_lengths(rows, matrix.frame_positions, share + step) for step in (-1e-3, 1e-3))
    return [(a, b or len(row)) for a, b, row in zip(low, high, rows, strict=True)]


def close(one: Tensor, other: Tensor) -> None:
    """To rounding of the largest value."""
    scale = float(other.abs().max()) if other.numel() else 0.0
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * scale + 1e-8)


CONTRASTLESS = [
    MethodCall("clrp"),
    MethodCall("atr", {"relevance": "clrp"}),
    MethodCall("selective-relevance", {"base": "clrp"}),
]


@pytest.mark.parametrize("call", CONTRASTLESS)
def test_a_contrast_that_a_method_does_not_take_is_refused_for_its_item_alone(
    engines: Mapping[str, Engine], call: MethodCall
) -> None:
    plain = [ClipRequest(networks.clip(seed), [call], target=1) for seed in range(3)]
    contrasted = ClipRequest(networks.clip(9), [call, MethodCall("dtd")], target=1, contrast=0)
    answers = engines["conv3d"].explain([plain[0], contrasted, *plain[1:]])
    for item, entry in enumerate(answers):
        assert isinstance(entry, ClipAnswer)
        result = entry.explained[0].result
        assert isinstance(result, RequestError) == (item == 1), result
    assert isinstance(answers[1], ClipAnswer)
    refused, other = (entry.result for entry in answers[1].explained)
    assert isinstance(refused, RequestError)
    assert (refused.reason, refused.field) == ("CONTRAST_UNSUPPORTED", "target.contrast")
    assert isinstance(other, SaliencyVolume)


def test_attention_rollout_refuses_a_contrast_for_its_item_alone(engines: Mapping[str, Engine]) -> None:
    call, clip = MethodCall("attention-rollout"), networks.clip(1, 4, 16, 16)
    given_ = [ClipRequest(clip, [call]), ClipRequest(clip, [call], target=0, contrast=1)]
    good, bad = engines["timesformer"].explain(given_)
    assert isinstance(good, ClipAnswer)
    assert isinstance(good.explained[0].result, SaliencyVolume)
    assert isinstance(bad, ClipAnswer)
    assert isinstance(bad.explained[0].result, RequestError)


def test_a_contrast_in_one_worker_message_leaves_the_others_answers(engines: Mapping[str, Engine]) -> None:
    atr = method_pb2.Method(atr=method_pb2.Atr(relevance="clrp"))
    clip = networks.clip(1)
    bodies = [
        worker_pb2.Compute(
            clip=clip.tobytes(),
            frames=6,
            height=12,
            width=16,
            methods=[atr],
            target=method_pb2.Target(explained={"index": 1}, contrast={"index": 0} if item == 1 else None),
        )
        for item in range(3)
    ]
    replies = answer(engines["conv3d"], [worker_pb2.ComputeRequest(compute=body) for body in bodies])
    failed = [reply.explanations[0].HasField("failure") for reply in replies]
    assert failed == [False, True, False]
    assert replies[1].explanations[0].failure.field == "target.contrast"


@pytest.mark.parametrize("entry", [DTD, ATR])
def test_a_method_that_breaks_on_one_clip_fails_there_alone(
    engines: Mapping[str, Engine], entry: Explainer[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = type(entry).attribute

    def broken(self: Any, model: Any, forward: Any, items: Any, parameters: Any) -> Any:
        if any(target.index == 2 for _, target in items):
            raise ZeroDivisionError("a bug")
        return own(self, model, forward, items, parameters)

    monkeypatch.setattr(type(entry), "attribute", broken)
    calls = [MethodCall(entry.name), MethodCall("grad-cam")]
    answers = engines["conv3d"].explain([ClipRequest(networks.clip(seed), calls, target=seed) for seed in range(3)])
    for item, found in enumerate(answers):
        assert isinstance(found, ClipAnswer)
        first, second = (explained.result for explained in found.explained)
        assert isinstance(second, SaliencyVolume)
        assert isinstance(first, RequestError) == (item == 2)
        if isinstance(first, RequestError):
            assert first.reason == "ENGINE_FAILED"


def test_frame_logits_are_checked_clip_by_clip(engines: Mapping[str, Engine]) -> None:
    """A clip whose logits are large does not hide that another's are not the mean of its time steps."""
    program = engines["conv3d"].model.program
    clips = engines["conv3d"].model.prepare([networks.clip(seed) for seed in range(3)])
    forward = program.forward(torch.cat([clips, clips[:1] * 1e4]))
    forward.logits[1] += 0.5
    reasons = [forward.no_frame_logits_of(item) for item in range(4)]
    assert [bool(reason) for reason in reasons] == [False, True, False, False]
    assert not forward.no_frame_logits
    found = ATR.attribute(
        engines["conv3d"].model,
        forward,
        [(item, engines["conv3d"].target(ClipRequest(networks.clip()), forward.logits[item])) for item in range(4)],
        ATR.parameters(),
    )
    assert [isinstance(entry, RequestError) for entry in found] == [False, True, False, False]
