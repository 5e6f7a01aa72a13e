"""Evaluations and ground truths as people write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format

from actionlens.v1 import job_pb2, method_pb2
from service.client import GroundTruth, evaluation
from service.client.evaluations.ground_truth import truth_message
from service.client.job_requests import job_request, plan_request
from service.errors import InvalidArgument

CLIP = np.zeros((2, 4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("written", "parameters"),
    [
        ("insertion", {}),
        ("insertion:steps=64,blank=grey", {"steps": 64, "blank": "grey"}),
        ("insertion: blur = 0.18 , fast = true", {"blur": 0.18, "fast": True}),
        ("insertion:kept=1+2+5.5", {"kept": [1, 2, 5.5]}),
        ("insertion:of-frame=max", {"of_frame": "max"}),
        ({"insertion": {"steps": 64, "kept": (1, 2), "blank": "grey", "fast": False}}, None),
        ({"insertion": {}}, {}),
    ],
)
def test_measures_are_written_in_several_ways(written: Any, parameters: dict[str, Any] | None) -> None:
    (measure,) = evaluation(["grad-cam"], [written]).evaluate.measures
    expected = {"steps": 64, "kept": [1, 2], "blank": "grey", "fast": False} if parameters is None else parameters
    assert measure.name == "insertion"
    assert json_format.MessageToDict(measure.parameters) == expected
    assert evaluation(["grad-cam"], [measure]).evaluate.measures[0] == measure


def test_an_evaluation_has_its_methods_and_filters() -> None:
    made = evaluation(["dtd:rule=gamma", {"esv": {"samples": 3}}], "chance", correct_only=True, min_score=0.5, draws=0)
    asked = made.evaluate
    assert asked.methods[0] == method_pb2.Method(dtd=method_pb2.Dtd(rule="gamma"))
    assert asked.methods[1].esv.samples == 3
    assert (asked.correct_only, asked.min_score, asked.draws) == (True, 0.5, 0)
    assert asked.HasField("draws")
    assert not evaluation(["dtd"], ["a"]).evaluate.HasField("draws")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((["grad-cam", "nonsense"], ["a"]), "method.evaluate.methods[1]"),
        ((["grad-cam"], ["a", "b:c"]), "method.evaluate.measures[1]"),
        ((["grad-cam"], [{"a": {}, "b": {}}]), "method.evaluate.measures[0]"),
        ((["grad-cam"], [{"a": {"x": object()}}]), "method.evaluate.measures[0].parameters"),
    ],
)
def test_what_cannot_be_written_is_refused_by_field(arguments: tuple[Any, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        evaluation(*arguments)
    assert caught.value.field == field


def test_truths_become_messages() -> None:
    masks = np.zeros((2, 3, 5), np.uint8)
    masks[1, 2, 4] = 255
    made = truth_message(
        GroundTruth(label="left", masks=masks, mask_frames=(0, 7), segment_seconds=(0.5, 1.5)), "truth"
    )
    assert made is not None
    assert made.label.label == "left"
    assert (made.masks.count, made.masks.height, made.masks.width, list(made.masks.frames)) == (2, 3, 5, [0, 7])
    # The last of thirty bits.
    assert made.masks.bits == b"\0\0\0\4"
    assert made.segment.seconds == job_pb2.TimeRange(begin=0.5, end=1.5)
    boxes = truth_message(GroundTruth(label=2, boxes={3: [1, 2, 3, 4], 5: np.ones((2, 4))}, segment=(0, 4)), "truth")
    assert boxes is not None
    assert [(box.frame, box.y1) for box in boxes.boxes] == [(3, 4), (5, 1), (5, 1)]
    assert boxes.segment.frames == job_pb2.FrameRange(last=4)
    assert boxes.label.index == 2
    assert truth_message(None, "truth") is None
    assert truth_message(boxes, "truth") is boxes


@pytest.mark.parametrize(
    ("truth", "field"),
    [
        (GroundTruth(boxes={0: [1, 2, 3]}), "boxes"),
        (GroundTruth(boxes={-1: [1, 2, 3, 4]}), "boxes"),
        (GroundTruth(masks=np.zeros((3, 4), bool)), "masks"),
        (GroundTruth(masks=np.zeros((1, 3, 4), bool), mask_frames=(-2,)), "masks.frames"),
        (GroundTruth(segment=(-1, 4)), "segment.frames"),
    ],
)
def test_truths_of_another_shape_are_refused_by_field(truth: GroundTruth, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        job_request([CLIP, CLIP], evaluation(["grad-cam"], ["a"]), {"ground_truth": [None, truth]})
    assert caught.value.field == f"clips[1].ground_truth.{field}"


def test_one_truth_for_each_clip() -> None:
    method = evaluation(["grad-cam"], ["a"])
    request = job_request([CLIP, CLIP], method, {"ground_truth": [GroundTruth(label=1), None]})
    assert [clip.HasField("ground_truth") for clip in request.clips] == [True, False]
    with pytest.raises(InvalidArgument, match="2 clips and 1 ground truths"):
        job_request([CLIP, CLIP], method, {"ground_truth": [GroundTruth(label=1)]})
    with pytest.raises(InvalidArgument, match="no evaluation"):
        plan_request(method_pb2.Method(grad_cam={}), {})
