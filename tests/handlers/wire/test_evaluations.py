"""Messages of evaluations: what goes to a worker and what comes back."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import json_format

from actionlens.tensors import to_array
from actionlens.v1 import method_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine.engine import Engine
from handlers.wire.requests import answer
from tests.handlers import networks
from tests.handlers.evaluation.small_measures import SMALL, small_measures

__all__ = ["small_measures"]
pytestmark = pytest.mark.usefixtures("small_measures")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(networks.model())


def evaluate(*measures: str, **fields: object) -> method_pb2.Evaluate:
    return method_pb2.Evaluate(
        methods=[method_pb2.Method(grad_cam=method_pb2.GradCam(signed=True))],
        measures=[method_pb2.Measure(name=name) for name in measures],
        **fields,  # type: ignore[arg-type]
    )


def compute(method: method_pb2.Evaluate, **fields: object) -> worker_pb2.Compute:
    clip = networks.clip(0)
    frames, height, width, _ = clip.shape
    return worker_pb2.Compute(
        clip=clip.tobytes(),
        frames=frames,
        height=height,
        width=width,
        methods=[method_pb2.Method(evaluate=method)],
        **fields,  # type: ignore[arg-type]
    )


def advance(engine: Engine, body: worker_pb2.Compute, **fields: object) -> worker_pb2.ComputeResponse:
    request = worker_pb2.Advance(compute=body, seed=3, budget_seconds=1e9, result=True, **fields)  # type: ignore[arg-type]
    (reply,) = answer(engine, [worker_pb2.ComputeRequest(advance=request)])
    return reply


def truth(**fields: object) -> worker_pb2.Truth:
    objects = np.zeros((6, 12, 16), bool)
    objects[2] = True
    bits = np.packbits(objects).tobytes()
    made = worker_pb2.Truth(label=2, objects=bits, annotated=[True] * 6, exact=True, segment=[False] * 3 + [True] * 3)
    made.MergeFrom(worker_pb2.Truth(**fields))  # type: ignore[arg-type]
    return made


def test_rows_curves_and_arrays_come_back(engine: Engine) -> None:
    method = evaluate("share", "covered", "chance", draws=1)
    method.measures[0].parameters.update({"shares": [0.5, 0.25], "power": 1})
    reply = advance(engine, compute(method, truth=truth()))
    (explanation,) = reply.explanations
    evaluation = explanation.evaluation
    assert (explanation.method, explanation.target.index, evaluation.label) == ("evaluate", 2, 2)
    assert evaluation.correct == (reply.prediction.top[0].index == 2)
    assert reply.advanced.done
    assert reply.advanced.iteration == reply.advanced.iterations
    share = "share:power=1,shares=0.5+0.25"
    named = [(row.measure, row.method, row.value, row.baseline) for row in evaluation.rows if row.HasField("number")]
    assert named == [
        (share, "grad-cam:signed=true", "share", False),
        (share, "grad-cam:signed=true", "seen", False),
        (share, "centre", "share", True),
        (share, "centre", "seen", True),
        (share, "exact-mask", "share", True),
        (share, "exact-mask", "seen", True),
        (share, "random", "share", True),
        (share, "random", "seen", True),
        ("covered", "exact-mask", "covered", True),
        ("covered", "random", "covered", True),
        ("chance", "", "chance", False),
    ]
    left_out = [(row.method, row.value, row.left_out) for row in evaluation.rows if not row.HasField("number")]
    assert ("grad-cam:signed=true", "", "it is no map of pixels") in left_out
    assert ("", "endless", "it is not finite") in left_out
    assert (evaluation.rows[2].better, evaluation.rows[1].unit) == ("", "probability")
    assert {(entry.measure, entry.method, entry.curve.name) for entry in evaluation.curves} == {
        (share, name, "score") for name in ("grad-cam:signed=true", "centre", "exact-mask", "random")
    }
    assert to_array(explanation.arrays[f"{share}/centre/first"]).tolist() == [1, 3]
    assert evaluation.forwards == 2 * 4  # two shares of four explanations
    assert explanation.provenance.seed == 3
    assert dict(explanation.provenance.parameters)["draws"] == 1


def test_the_truth_reaches_the_measures(engine: Engine) -> None:
    method = evaluate("covered", draws=0)
    (row,) = [
        row for row in advance(engine, compute(method, truth=truth())).explanations[0].evaluation.rows if row.number
    ]
    assert (row.method, row.number) == ("exact-mask", 100)
    boxes = compute(method, truth=truth())
    boxes.truth.exact = False
    assert [row.method for row in advance(engine, boxes).explanations[0].evaluation.rows] == ["grad-cam:signed=true"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"truth": truth(objects=b"\1")}, "truth.objects"),
        ({"truth": truth(annotated=[True])}, "truth.annotated"),
        ({"truth": truth(segment=[True])}, "truth.segment"),
        ({"truth": truth(label=3)}, "target.explained.index"),
        ({"visible": worker_pb2.Rectangle(left=4, right=4, bottom=3)}, "visible"),
        ({"visible": worker_pb2.Rectangle(right=17, bottom=3)}, "visible"),
    ],
)
def test_a_truth_of_another_size_is_refused(engine: Engine, fields: dict[str, object], field: str) -> None:
    reply = advance(engine, compute(evaluate("chance"), **fields))
    assert reply.failure.field == field


def test_an_evaluation_among_other_requests_is_the_same(engine: Engine) -> None:
    body = compute(evaluate("share", "reversed"), truth=truth())
    alone = advance(engine, body)
    live = worker_pb2.Compute()
    live.CopyFrom(body)
    live.methods[0].CopyFrom(method_pb2.Method(grad_cam={}))
    request = worker_pb2.Advance(compute=body, seed=3, budget_seconds=1e9, result=True)
    replies = answer(engine, [worker_pb2.ComputeRequest(compute=live), worker_pb2.ComputeRequest(advance=request)] * 2)
    for reply in replies[1::2]:
        assert reply.explanations == alone.explanations
        assert reply.advanced.state == alone.advanced.state


def test_models_say_what_can_be_measured_and_what_it_costs(engine: Engine) -> None:
    (reply,) = answer(engine, [worker_pb2.ComputeRequest(describe=worker_pb2.Describe())])
    described = {entry.measure: entry for entry in reply.model.measures}
    assert described.keys() == SMALL.keys()
    share = described["share"]
    assert (share.subject, share.forwards, share.supported) == ("explanation", 1, True)
    assert [(entry.name, entry.type, entry.default_value) for entry in share.parameters] == [
        ("power", "number", "1.0"),
        ("shares", "numbers", "[0.5]"),
    ]
    assert list(described["covered"].needs) == ["objects"]
    assert {name: entry.subject for name, entry in described.items()} == {
        "share": "explanation",
        "covered": "explanation",
        "chance": "clip",
        "broken": "clip",
        "together": "explanations",
        "reversed": "method",
    }
    (other,) = answer(Engine(networks.model(name="other")), [worker_pb2.ComputeRequest(describe=worker_pb2.Describe())])
    broken = {entry.measure: entry for entry in other.model.measures}["broken"]
    assert (broken.supported, broken.reason) == (False, "it cannot")


def test_the_cost_is_told_before(engine: Engine) -> None:
    method = evaluate("share", "chance", "reversed")
    method.measures[0].parameters.update({"shares": [1, 2, 3]})
    method.methods.add(guided_backprop=method_pb2.GuidedBackprop())
    (reply,) = answer(engine, [worker_pb2.ComputeRequest(plan=worker_pb2.Plan(evaluate=method))])
    # Two methods, an own baseline, three draws; three forwards each.
    assert [(entry.measure, entry.forwards, entry.times) for entry in reply.plan.measures] == [
        ("share:shares=1+2+3", 3, 6),
        ("chance", 0, 1),
        ("reversed", 1, 2),
    ]
    assert reply.plan.forwards == 3 * 6 + 2
    assert reply.plan.iterations == 1 + 6 + 1 + 2
    done = advance(engine, compute(method))
    assert (done.explanations[0].evaluation.forwards, done.advanced.iterations) == (20, 10)
    too_long = worker_pb2.Plan(evaluate=method, frames=7)
    (refused,) = answer(engine, [worker_pb2.ComputeRequest(plan=too_long)])
    assert refused.failure.field == "frames"
    method.measures[0].name = "x"
    (unknown,) = answer(engine, [worker_pb2.ComputeRequest(plan=worker_pb2.Plan(evaluate=method))])
    assert unknown.failure.field == "evaluate.measures[0].name"
    assert json_format.MessageToDict(unknown.failure)["reason"] == "UNKNOWN_MEASURE"
