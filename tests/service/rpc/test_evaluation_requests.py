"""Evaluations that CreateJob and PlanEvaluation refuse, with the status and the field."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest

from actionlens.v1 import job_pb2, method_pb2, model_pb2
from tests.service.backend import PixelBackend, describe
from tests.service.conftest import Serve
from tests.service.requests import raw_clip
from tests.service.rpc.test_job_servicer import connected, refused

INVALID, PRECONDITION = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
GRAD_CAM, OCCLUSION = method_pb2.Method(grad_cam={}), method_pb2.Method(occlusion={})


def model() -> model_pb2.Model:
    made = describe()
    made.methods.add(method="occlusion", supported=True, job=True)
    insertion = made.measures.add(measure="insertion", supported=True, subject="explanation")
    insertion.parameters.add(name="steps", type="number", minimum=1, maximum=256, whole=True)
    insertion.parameters.add(name="blank", type="string", choices=("blur", "grey"))
    insertion.parameters.add(name="shares", type="numbers", minimum=0, maximum=1, most_entries=3, fewest_entries=1)
    insertion.parameters.add(name="fast", type="bool")
    made.measures.add(measure="whole-clip", supported=True, subject="clip")
    made.measures.add(measure="partial-sampling", reason="it has no logits of frames", subject="clip")
    return made


@pytest.fixture
async def jobs(serve: Serve) -> AsyncIterator[Any]:
    async with serve(over=PixelBackend(model()), jobs={"workers": 0}) as server, connected(server) as stub:
        yield stub


def measure(name: str = "insertion", **parameters: Any) -> method_pb2.Measure:
    made = method_pb2.Measure(name=name)
    made.parameters.update(parameters)
    return made


def evaluate(**fields: Any) -> method_pb2.Method:
    fields.setdefault("methods", [GRAD_CAM])
    fields.setdefault("measures", [measure()])
    return method_pb2.Method(evaluate=method_pb2.Evaluate(**fields))


def request(method: method_pb2.Method | None = None, truth: dict[str, Any] | None = None, **fields: Any) -> Any:
    clips = [job_pb2.JobClip(clip=raw_clip([0, 50])) for _ in range(2)]
    if truth is not None:
        clips[1].ground_truth.MergeFrom(job_pb2.GroundTruth(**truth))
    return job_pb2.CreateJobRequest(method=evaluate() if method is None else method, clips=clips, **fields)


def masks(**fields: Any) -> dict[str, Any]:
    """Two masks of 3 x 5."""
    bits = np.packbits(np.ones(30, bool)).tobytes()
    return {"masks": job_pb2.Masks(**{"count": 2, "height": 3, "width": 5, "bits": bits, **fields})}


def boxes(*corners: tuple[float, float, float, float]) -> dict[str, Any]:
    return {"boxes": [job_pb2.Box(x0=x0, y0=y0, x1=x1, y1=y1) for x0, y0, x1, y1 in corners]}


def segment(**fields: Any) -> dict[str, Any]:
    return {"segment": job_pb2.Segment(**fields)}


EVALUATE, TRUTH = "method.evaluate", "clips[1].ground_truth"
GOOD = (1.0, 1.0, 2.0, 2.0)
MANY = [job_pb2.Box(x1=1, y1=1)] * 20_001

BAD: dict[str, tuple[Any, grpc.StatusCode, str, str]] = {
    "no measures": (request(evaluate(measures=[])), INVALID, f"{EVALUATE}.measures", "insertion, whole-clip"),
    "an unknown measure": (
        request(evaluate(measures=[measure("whole-clip"), measure("insertions")])),
        INVALID,
        f"{EVALUATE}.measures[1].name",
        "did you mean insertion",
    ),
    "a measure that the model does not support": (
        request(evaluate(measures=[measure("partial-sampling")])),
        PRECONDITION,
        f"{EVALUATE}.measures[0]",
        "it has no logits of frames",
    ),
    "an unknown parameter": (
        request(evaluate(measures=[measure(step=3)])),
        INVALID,
        f"{EVALUATE}.measures[0].parameters.step",
        "did you mean steps",
    ),
    "a parameter out of range": (
        request(evaluate(measures=[measure(steps=0)])),
        INVALID,
        f"{EVALUATE}.measures[0].parameters.steps",
        "at least 1 and at most 256",
    ),
    "a part of a step": (
        request(evaluate(measures=[measure(steps=2.5)])),
        INVALID,
        f"{EVALUATE}.measures[0].parameters.steps",
        "2.5 is no whole number",
    ),
    "no numbers": (
        request(evaluate(measures=[measure(shares=[])])),
        INVALID,
        f"{EVALUATE}.measures[0].parameters.shares",
        "give at least 1",
    ),
    "a parameter of another type": (
        request(evaluate(measures=[measure(steps="many")])),
        INVALID,
        f"{EVALUATE}.measures[0].parameters.steps",
        "is no number",
    ),
    "a text that is no choice": (
        request(evaluate(measures=[measure(blank="red")])),
        INVALID,
        f"{EVALUATE}.measures[0].parameters.blank",
        "blur, grey",
    ),
    "a number where a boolean is": (
        request(evaluate(measures=[measure(fast=1)])),
        INVALID,
        f"{EVALUATE}.measures[0].parameters.fast",
        "is no bool",
    ),
    "numbers with a text": (
        request(evaluate(measures=[measure(shares=[0.5, "x"])])),
        INVALID,
        f"{EVALUATE}.measures[0].parameters.shares",
        "is no list of numbers",
    ),
    "numbers out of range": (
        request(evaluate(measures=[measure(shares=[0.5, 2])])),
        INVALID,
        f"{EVALUATE}.measures[0].parameters.shares[1]",
        "2 is out of range",
    ),
    "endless numbers": (
        request(evaluate(measures=[measure(shares=[0.5, math.inf])])),
        INVALID,
        f"{EVALUATE}.measures[0].parameters.shares[1]",
        "inf is not a finite number",
    ),
    "a thousand numbers": (
        request(evaluate(measures=[measure(shares=[0.5] * 1000)])),
        INVALID,
        f"{EVALUATE}.measures[0].parameters.shares",
        "at most 64",
    ),
    "lists in lists": (
        request(evaluate(measures=[measure(shares=[[0.5]])])),
        INVALID,
        f"{EVALUATE}.measures[0].parameters.shares[0]",
        "is no text, number",
    ),
    "a structure": (
        request(evaluate(measures=[measure(steps={"a": 1})])),
        INVALID,
        f"{EVALUATE}.measures[0].parameters.steps",
        "is no text, number",
    ),
    "nothing": (
        request(evaluate(measures=[measure(steps=None)])),
        INVALID,
        f"{EVALUATE}.measures[0].parameters.steps",
        "is no text, number",
    ),
    "a measure twice": (
        request(evaluate(measures=[measure(steps=3), measure(), measure(steps=3)])),
        INVALID,
        f"{EVALUATE}.measures[2]",
        "is measures[0] again",
    ),
    "a hundred measures": (
        request(evaluate(measures=[measure(steps=n) for n in range(1, 101)])),
        INVALID,
        f"{EVALUATE}.measures",
        "at most 32",
    ),
    "no methods": (request(evaluate(methods=[])), INVALID, f"{EVALUATE}.methods", "these measures are of explanations"),
    "a method twice": (
        request(evaluate(methods=[GRAD_CAM, OCCLUSION, GRAD_CAM])),
        INVALID,
        f"{EVALUATE}.methods[2]",
        "is methods[0] again",
    ),
    "a method that is none": (
        request(evaluate(methods=[GRAD_CAM, method_pb2.Method()])),
        INVALID,
        f"{EVALUATE}.methods[1]",
        "names no method",
    ),
    "a method that cannot": (
        request(evaluate(methods=[method_pb2.Method(esv={})])),
        PRECONDITION,
        f"{EVALUATE}.methods[0].esv",
        "methods that can: grad-cam",
    ),
    "an evaluation of an evaluation": (
        request(evaluate(methods=[evaluate()])),
        PRECONDITION,
        f"{EVALUATE}.methods[0].evaluate",
        "evaluate is no explanation",
    ),
    "a score that is none": (request(evaluate(min_score=1.5)), INVALID, f"{EVALUATE}.min_score", "no probability"),
    "a score below": (request(evaluate(min_score=-0.5)), INVALID, f"{EVALUATE}.min_score", "no probability"),
    "an endless score": (request(evaluate(min_score=math.nan)), INVALID, f"{EVALUATE}.min_score", "not a finite"),
    "many draws": (request(evaluate(draws=21)), INVALID, f"{EVALUATE}.draws", "at most 20"),
    "a contrast": (
        request(target=method_pb2.Target(contrast={"index": 1})),
        INVALID,
        "target.contrast",
        "measures are of one class",
    ),
    "a class that the model has not": (
        request(truth={"label": {"label": "gren"}}),
        INVALID,
        f"{TRUTH}.label.label",
        "did you mean 'green'",
    ),
    "a number that is no class": (request(truth={"label": {"index": 3}}), INVALID, f"{TRUTH}.label.index", "0 to 2"),
    "an empty label": (request(truth={"label": {}}), INVALID, f"{TRUTH}.label", "names no class"),
    "a box that is no number": (
        request(truth=boxes(GOOD, (1, math.nan, 2, 2))),
        INVALID,
        f"{TRUTH}.boxes[1].y0",
        "nan is not a finite number",
    ),
    "an endless box": (
        request(truth=boxes((0, 0, math.inf, 1))),
        INVALID,
        f"{TRUTH}.boxes[0].x1",
        "inf is not a finite number",
    ),
    "corners the wrong way round": (
        request(truth=boxes(GOOD, (5, 1, 3, 2))),
        INVALID,
        f"{TRUTH}.boxes[1]",
        "x 5 to 3, y 1 to 2 holds nothing",
    ),
    "a flat box": (request(truth=boxes((5, 1, 6, 1))), INVALID, f"{TRUTH}.boxes[0]", "holds nothing"),
    "too many boxes": (request(truth={"boxes": MANY}), INVALID, f"{TRUTH}.boxes", "at most 20000"),
    "too many boxes of all clips": (
        job_pb2.CreateJobRequest(
            method=evaluate(),
            clips=[job_pb2.JobClip(path="a", ground_truth=job_pb2.GroundTruth(boxes=MANY[:20_000]))] * 11,
        ),
        INVALID,
        "clips",
        "at most 200000",
    ),
    "boxes and masks": (request(truth=boxes(GOOD) | masks()), INVALID, f"{TRUTH}.masks", "boxes or masks"),
    "too few bits": (request(truth=masks(bits=b"\0" * 3)), INVALID, f"{TRUTH}.masks.bits", "take 4 bytes"),
    "too many bits": (request(truth=masks(bits=b"\0" * 30)), INVALID, f"{TRUTH}.masks.bits", "take 4 bytes"),
    "masks of nothing": (request(truth=masks(height=0)), INVALID, f"{TRUTH}.masks", "hold nothing"),
    "masks larger than memory": (
        request(truth=masks(count=9000, height=2**31, width=2**31)),
        INVALID,
        f"{TRUTH}.masks",
        "scale the masks down",
    ),
    "too many masks": (request(truth=masks(count=2**32 - 1)), INVALID, f"{TRUTH}.masks.count", "at most 9000"),
    "other frames than masks": (request(truth=masks(frames=[1])), INVALID, f"{TRUTH}.masks.frames", "1 frames for 2"),
    "a frame twice": (request(truth=masks(frames=[1, 1])), INVALID, f"{TRUTH}.masks.frames[1]", "frames rise"),
    "a segment without an extent": (request(truth=segment()), INVALID, f"{TRUTH}.segment", "no extent"),
    "a segment backwards": (
        request(truth=segment(frames={"first": 4, "last": 3})),
        INVALID,
        f"{TRUTH}.segment.frames",
        "4 to 3 holds no frame",
    ),
    "a time backwards": (
        request(truth=segment(seconds={"begin": 4, "end": 3})),
        INVALID,
        f"{TRUTH}.segment.seconds",
        "begin <= end",
    ),
    "a time before the clip": (
        request(truth=segment(seconds={"begin": -1, "end": 3})),
        INVALID,
        f"{TRUTH}.segment.seconds",
        "0 <= begin",
    ),
    "an endless time": (
        request(truth=segment(seconds={"end": math.inf})),
        INVALID,
        f"{TRUTH}.segment.seconds.end",
        "not a finite",
    ),
    "a truth for a method that uses none": (
        request(OCCLUSION, truth={"label": {"index": 1}}),
        INVALID,
        TRUTH,
        "the method evaluate does",
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_evaluations_are_refused_by_field(jobs: Any, name: str) -> None:
    bad, status, field, hint = BAD[name]
    error = await refused(jobs.CreateJob(bad))
    assert (error.code, error.field) == (status, field), error.message
    assert hint in error.message
    assert not (await jobs.ListJobs(job_pb2.ListJobsRequest())).jobs


async def test_good_ones_are_taken(jobs: Any) -> None:
    taken = evaluate(
        methods=[GRAD_CAM, OCCLUSION],
        measures=[measure(steps=3, blank="grey", shares=0.5, fast=True), measure(), measure("whole-clip")],
        min_score=1,
        draws=0,
    )
    truth = {"label": {"label": "green"}, **boxes(GOOD, (-3, -3, 99, 99)), **segment(seconds={"begin": 1, "end": 1})}
    reply = await jobs.CreateJob(request(taken, truth, request_id="x"))
    assert reply.job.method == taken
    again = await jobs.CreateJob(request(taken, truth, request_id="x"))
    assert not again.created
    other = request(taken, truth, request_id="x")
    other.clips[1].ground_truth.boxes[0].x1 += 1
    assert (await refused(jobs.CreateJob(other))).code is grpc.StatusCode.ALREADY_EXISTS
    no_methods = evaluate(methods=[], measures=[measure("whole-clip")])
    assert (await jobs.CreateJob(request(no_methods, masks(frames=[0, 7])))).created
    listed = await jobs.ListJobs(job_pb2.ListJobsRequest(method="evaluate"))
    assert len(listed.jobs) == 2


async def test_plans_are_refused_alike(jobs: Any) -> None:
    bad = job_pb2.PlanEvaluationRequest(evaluate=evaluate(measures=[measure(steps=0)]).evaluate)
    error = await refused(jobs.PlanEvaluation(bad))
    assert error.field == "evaluate.measures[0].parameters.steps"
    unknown = job_pb2.PlanEvaluationRequest(model="nope", evaluate=evaluate().evaluate)
    assert (await refused(jobs.PlanEvaluation(unknown))).field == "model"
