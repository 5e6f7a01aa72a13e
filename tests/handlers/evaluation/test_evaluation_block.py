"""The evaluation of a clip: its rows, however it is cut into blocks, and what is left out of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
import torch

from handlers.engine.engine import ClipRequest, Engine, MethodCall
from handlers.errors import RequestError
from handlers.evaluation import evaluation_block, evaluation_memory
from handlers.evaluation.common.random_maps import random_map
from handlers.evaluation.evaluation_block import EvaluationBlock, EvaluationClip, FoundRow, advance
from handlers.evaluation.evaluation_memory import Refused
from handlers.evaluation.evaluation_request import EvaluationRequest, MeasureCall
from handlers.evaluation.measure import Measured
from handlers.evaluation.subject import GroundTruth
from handlers.explainers.attribution import SaliencyVolume
from tests.handlers import networks
from tests.handlers.evaluation.small_measures import small_measures

__all__ = ["small_measures"]
pytestmark = pytest.mark.usefixtures("small_measures")

GRAD_CAM, GUIDED = MethodCall("grad-cam"), MethodCall("guided-backprop")
GRADIENTS = MethodCall("integrated-gradients", {"steps": 3})
EVERYTHING = EvaluationRequest(
    methods=[GRAD_CAM, GRADIENTS, GUIDED],
    measures=[
        MeasureCall("share", {"power": 2.0}),
        MeasureCall("covered"),
        MeasureCall("chance"),
        MeasureCall("together"),
        MeasureCall("reversed"),
        MeasureCall("broken"),
    ],
)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(networks.model())


def subject(truth: GroundTruth | None = None, seed: int = 0) -> EvaluationClip:
    return EvaluationClip(ClipRequest(networks.clip(seed)), truth or GroundTruth())


def masks() -> GroundTruth:
    objects = torch.zeros(6, 12, 16, dtype=torch.bool)
    objects[:, :6, :8] = True
    return GroundTruth(label=1, objects=objects, annotated=torch.ones(6, dtype=torch.bool), exact=True)


def blocks(
    engine: Engine, clip: EvaluationClip, request: EvaluationRequest, seconds: Iterator[float]
) -> Iterator[EvaluationBlock]:
    state, done = b"", False
    while not done:
        block = advance(engine, clip, request, state, next(seconds), seed=7)
        state, done = block.state.to_bytes(), block.state.done
        yield block


def evaluated(engine: Engine, clip: EvaluationClip, request: EvaluationRequest) -> EvaluationBlock:
    (block,) = blocks(engine, clip, request, iter([1e9]))
    return block


def found(block: EvaluationBlock, measure: str) -> dict[str, Measured | Refused]:
    return {row.method: row.finding for row in block.rows if row.measure == measure}


def plain(rows: tuple[FoundRow, ...]) -> list[object]:
    """With arrays that can be compared."""
    return [
        replace(row, finding=replace(row.finding, arrays={k: v.tolist() for k, v in row.finding.arrays.items()}))
        if isinstance(row.finding, Measured)
        else row
        for row in rows
    ]


def test_rows_are_those_of_each_measure_of_each_method_and_baseline(engine: Engine) -> None:
    block = evaluated(engine, subject(masks()), EVERYTHING)
    assert block.subject.target.index == 1
    assert block.subject.correct in (True, False)
    share = found(block, "share:power=2")
    steps = "integrated-gradients:steps=3"
    assert list(share) == ["grad-cam", steps, "guided-backprop", "centre", "exact-mask", "random"]
    assert {row.method for row in block.rows if row.baseline} == {"centre", "exact-mask", "random"}
    centre = share["centre"]
    assert isinstance(centre, Measured)
    # 1^2 of 1^2 + 3^2.
    assert centre.values["share"].number == pytest.approx(0.1)
    assert centre.curves[0].y == (pytest.approx(0.1), pytest.approx(block.subject.probability, abs=1e-6))
    assert centre.left_out == {"third": "there are two halves"}
    exact = share["exact-mask"]
    assert isinstance(exact, Measured)
    assert exact.values["share"].number == 0.5
    assert exact.arrays["first"].tolist() == [1.0, 1.0]
    covered = found(block, "covered")
    assert covered["grad-cam"] == Refused("it is no map of pixels")
    assert isinstance(covered["exact-mask"], Measured)
    assert covered["exact-mask"].values["covered"].number == 100
    chance = found(block, "chance")[""]
    assert isinstance(chance, Measured)
    assert chance.values["chance"].number == block.subject.probability
    assert chance.left_out == {"endless": "it is not finite"}
    assert found(block, "broken") == {"": Refused("ZeroDivisionError while measuring")}
    # share takes a forward of each of 3 methods, 3 random draws and 2 more; `reversed` one of each method.
    assert block.forwards == 3 + 3 + 2 + 3


def test_explanations_are_those_of_the_methods_themselves(engine: Engine) -> None:
    clip = subject(masks())
    (answer,) = engine.explain([replace(clip.request, methods=[GRAD_CAM, GUIDED], target=1)])
    (turned,) = engine.explain([ClipRequest(clip.request.clip[::-1].copy(), [GUIDED], target=1)])
    assert not isinstance(answer, RequestError)
    assert not isinstance(turned, RequestError)
    block = evaluated(engine, clip, EVERYTHING)
    together, again = found(block, "together")[""], found(block, "reversed")["guided-backprop"]
    assert isinstance(together, Measured)
    assert isinstance(again, Measured)
    for call, entry in zip((GRAD_CAM, GUIDED), answer.explained, strict=True):
        assert isinstance(entry.result, SaliencyVolume)
        assert together.values[call.name].number == pytest.approx(float(entry.result.values.sum()), abs=1e-5)
    assert isinstance(turned.explained[0].result, SaliencyVolume)
    assert again.values["sum"].number == pytest.approx(float(turned.explained[0].result.values.sum()), abs=1e-5)


def test_the_same_comes_out_however_it_is_cut_and_whatever_else_runs(engine: Engine) -> None:
    clip = subject(masks())
    whole = evaluated(engine, clip, EVERYTHING)
    single = list(blocks(engine, clip, EVERYTHING, iter(lambda: 0.0, 1.0)))
    # Two explanations of live methods at once, three steps of the iteration, then one part each.
    assert len(single) == 1 + 3 + (whole.state.iterations - 2)
    assert plain(single[-1].rows) == plain(whole.rows)
    counts = [len(block.rows) for block in single]
    assert counts == sorted(counts)
    assert counts[0] == 0
    lengths = random.Random(0)
    other = blocks(engine, subject(masks(), seed=3), EVERYTHING, iter(lambda: 0.0, 1.0))
    for block in blocks(engine, clip, EVERYTHING, iter(lambda: lengths.choice((0.0, 0.003, 0.02)), 1.0)):
        next(other, None)
        engine.explain([ClipRequest(networks.clip(9), [GRAD_CAM])])
        mixed = block
    assert plain(mixed.rows) == plain(whole.rows)
    assert mixed.forwards == whole.forwards


def test_a_block_that_is_repeated_changes_nothing(engine: Engine) -> None:
    clip = subject(masks())
    states = [block.state.to_bytes() for block in blocks(engine, clip, EVERYTHING, iter(lambda: 0.0, 1.0))]
    for state in (b"", states[2], states[8], states[-2]):
        again = advance(engine, clip, EVERYTHING, state, 1e9, seed=7)
        while not again.state.done:
            again = advance(engine, clip, EVERYTHING, again.state.to_bytes(), 1e9, seed=7)
        assert again.state.to_bytes() == states[-1]


def test_random_explanations_are_the_mean_of_their_draws_and_of_the_clip_and_seed(engine: Engine) -> None:
    request = EvaluationRequest([GRAD_CAM], [MeasureCall("share")])

    def noise(request: EvaluationRequest, seed: int = 7, clip: int = 0) -> float:
        block = advance(engine, subject(seed=clip), request, b"", 1e9, seed)
        row = found(block, "share")["random"]
        assert isinstance(row, Measured)
        return row.values["share"].number

    assert noise(request) == noise(request)
    assert len({noise(request), noise(request, seed=8), noise(request, clip=1)}) == 3
    made = evaluated(engine, subject(), request).subject
    shares = []
    for draw in range(3):
        values = random_map(made, draw).values.double().flatten()
        shares.append(float(values[: len(values) // 2].sum() / values.sum()))
    assert len(set(shares)) == 3
    for draws in (1, 2, 3):
        assert noise(replace(request, draws=draws)) == pytest.approx(fmean(shares[:draws]))
    assert noise(request) == noise(replace(request, draws=3))
    none = advance(engine, subject(), replace(request, draws=0), b"", 1e9, 7)
    assert list(found(none, "share")) == ["grad-cam", "centre"]


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_a_method_that_fails_is_left_out_alone(engine: Engine, seconds: float) -> None:
    request = EvaluationRequest(
        [
            MethodCall("grad-cam", {"layer": "nowhere"}),
            GUIDED,
            MethodCall("esv"),
            MethodCall("integrated-gradients", {"steps": 0}),
            MethodCall("unheard-of"),
        ],
        [MeasureCall("share"), MeasureCall("together")],
    )
    *_, block = blocks(engine, subject(), request, iter(lambda: seconds, -1.0))
    share = found(block, "share")
    assert isinstance(share["guided-backprop"], Measured)
    reasons = {name: row.reason for name, row in share.items() if isinstance(row, Refused)}
    assert reasons.keys() == {"grad-cam:layer=nowhere", "esv", "integrated-gradients:steps=0", "unheard-of"}
    assert "nowhere" in reasons["grad-cam:layer=nowhere"]
    assert "esv cannot explain" in reasons["esv"]
    assert "not known" in reasons["unheard-of"]
    assert found(block, "together") == {"": Refused("there are fewer than two explanations")}


def test_explanations_that_take_too_long_are_not_made_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    request = EvaluationRequest([GUIDED, GRADIENTS], [MeasureCall("reversed")])
    monkeypatch.setattr(evaluation_block, "_MOST_ITERATIONS", 3)
    assert isinstance(evaluated(engine, subject(), request).rows[1].finding, Measured)
    monkeypatch.setattr(evaluation_block, "_MOST_ITERATIONS", 2)
    live, iterative = evaluated(engine, subject(), request).rows
    assert isinstance(live.finding, Measured)
    assert iterative.finding == Refused("it explains 1 times, 3 iterations; in one part are at most 2")


def test_what_is_not_known_of_the_clip_is_said(engine: Engine) -> None:
    block = evaluated(engine, subject(), EvaluationRequest([GUIDED], [MeasureCall("covered")]))
    row = Refused("nothing is known of the clip's objects", ("objects",))
    assert found(block, "covered") == {"guided-backprop": row, "random": row}


def test_clips_that_a_filter_leaves_out_cost_nothing_and_keep_their_rows(engine: Engine) -> None:
    top = int(evaluated(engine, subject(), EvaluationRequest([], [MeasureCall("chance")])).subject.logits.argmax())
    wrong = GroundTruth(label=(top + 1) % 3)
    request = EvaluationRequest([GUIDED], [MeasureCall("share"), MeasureCall("chance")], correct_only=True)
    block = advance(engine, subject(wrong), request, b"", 0.0, 7)
    assert block.state.done
    reason = Refused("the top-1 class is another than the ground truth's")
    assert [(row.measure, row.method, row.finding) for row in block.rows] == [
        ("share", "guided-backprop", reason),
        ("share", "centre", reason),
        ("share", "random", reason),
        ("chance", "", reason),
    ]
    assert advance(engine, subject(wrong), request, block.state.to_bytes(), 0.0, 7).rows == block.rows
    unknown = advance(engine, subject(), request, b"", 0.0, 7).rows[0].finding
    assert isinstance(unknown, Refused)
    assert unknown.lacks == ("label",)
    right = evaluated(engine, subject(GroundTruth(label=top)), request)
    assert isinstance(right.rows[0].finding, Measured)
    low = replace(request, correct_only=False, min_score=0.999)
    below = advance(engine, subject(), low, b"", 0.0, 7).rows[0].finding
    assert below == Refused(f"{networks.LABELS[top]} has a probability below 0.999")


def test_explanations_and_arrays_are_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 4 * 6 * 12 * 16
    monkeypatch.setattr(evaluation_memory, "MAP_BYTES", size + 100)
    monkeypatch.setattr(evaluation_memory, "ARRAY_BYTES", 10)
    request = EvaluationRequest(
        [GUIDED, MethodCall("guided-backprop"), GRADIENTS], [MeasureCall("share"), MeasureCall("together")]
    )
    block = evaluated(engine, subject(), request)
    rows = [row.finding for row in block.rows if row.measure == "share"]
    assert isinstance(rows[0], Measured)
    assert rows[0].arrays["first"].shape == (2,)
    for row in rows[1:3]:
        assert isinstance(row, Refused)
        assert "measure fewer methods at once" in row.reason
    # The arrays of the baseline that comes after are too many.
    assert isinstance(rows[3], Measured)
    assert not rows[3].arrays
    assert "more than" in rows[3].left_out["first"]


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (MeasureCall("nonsense"), "measures[1].name"),
        (MeasureCall("share", {"power": 0.0}), "measures[1].parameters.power"),
        (MeasureCall("share", {"colour": 1.0}), "measures[1].parameters.colour"),
        (MeasureCall("share", {"shares": [1.0, "x"]}), "measures[1].parameters.shares.1"),
    ],
)
def test_measures_that_do_not_fit_are_refused_by_field(engine: Engine, call: MeasureCall, field: str) -> None:
    request = EvaluationRequest([GUIDED], [MeasureCall("chance"), call])
    with pytest.raises(RequestError) as refusal:
        advance(engine, subject(), request, b"", 0.0, 7)
    assert refusal.value.field == f"methods[0].evaluate.{field}"


def test_one_number_will_do_where_several_may_be(engine: Engine) -> None:
    request = EvaluationRequest([], [MeasureCall("share", {"shares": 1.0})], draws=0)
    assert evaluated(engine, subject(), request).rows[0].measure == "share:shares=1"


def test_a_state_that_is_none_is_refused(engine: Engine) -> None:
    with pytest.raises(RequestError, match="state"):
        advance(engine, subject(), EVERYTHING, b"nonsense", 0.0, 7)


def test_a_clip_of_another_size_is_refused(engine: Engine) -> None:
    clip = EvaluationClip(ClipRequest(np.zeros((6, 10, 16, 3), np.uint8)), GroundTruth())
    with pytest.raises(RequestError, match="uint8"):
        advance(engine, clip, EVERYTHING, b"", 0.0, 7)
