"""Method st-perturbation: resumable, exact areas, honest notes, and all of it through the worker's envelope."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from actionlens.v1 import answer_pb2, method_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine.engine import Engine
from handlers.errors import RequestError
from handlers.explainers import Question, State, iterative
from handlers.explainers.attribution import SaliencyVolume, Target
from handlers.explainers.jobs.st_perturbation import StPerturbationParameters
from handlers.explainers.perturbation import Masks, blurred, kept, smoothed
from handlers.wire.requests import answer
from service.readings.explanation import read_explanation
from tests.handlers import networks

METHOD = iterative("st-perturbation")
SMALL: dict[str, Any] = {"step": 3, "sigma": 4.0, "areas": [0.05, 0.2]}


def question(contrast: int | None = None, **parameters: Any) -> Question[StPerturbationParameters]:
    model = networks.model()
    clip = networks.clip(3)
    logits = model.program.forward(model.prepare([clip]), relevance=False).logits[0]
    return Question(model, clip, logits, Target(0, contrast), StPerturbationParameters(**SMALL | parameters), 0)


def finished(asked: Question[StPerturbationParameters]) -> State:
    return METHOD.advance(asked, METHOD.start(asked), 600)


def explained(asked: Question[StPerturbationParameters]) -> SaliencyVolume:
    found = METHOD.result(asked, finished(asked))
    assert isinstance(found, SaliencyVolume)
    return found


def test_a_reach_of_very_many_seeds_is_refused_by_name() -> None:
    assert StPerturbationParameters(step=2, sigma=32.0).plan.sigma == 32
    with pytest.raises(ValidationError, match="at most 16 steps: 32 for step 2") as refused:
        StPerturbationParameters(step=2, sigma=33.0)
    assert refused.value.errors()[0]["loc"] == ("sigma",)


@pytest.mark.parametrize("areas", [[0.05, 0.2, 0.05], [0.05, 0.05000000001]])
def test_areas_of_one_name_are_refused(areas: list[float]) -> None:
    with pytest.raises(ValidationError, match=r"0\.05 is there twice") as refused:
        StPerturbationParameters(areas=areas)
    assert refused.value.errors()[0]["loc"] == ("areas",)


@pytest.mark.parametrize("more", [{}, {"variant": "unsync", "mode": "dual", "smoothing": 1.0, "shape": True}])
def test_cut_into_blocks_it_is_the_same_to_the_bit(more: dict[str, Any]) -> None:
    asked = question(iterations=7, **more)
    whole = finished(asked)
    assert (whole.iteration, whole.done) == (7, True)
    state, blocks = METHOD.start(asked), 0
    while not state.done:
        state = METHOD.advance(asked, State.from_bytes(state.to_bytes()), 0.0)
        blocks += 1
    assert blocks == 7
    assert state.objective == whole.objective
    assert all(torch.equal(state.arrays[name], whole.arrays[name]) for name in whole.arrays)


@pytest.mark.parametrize("variant", ["st", "sync", "unsync"])
def test_the_visible_area_is_the_area_asked_for(variant: str) -> None:
    volume = explained(question(iterations=5, variant=variant, areas=[0.1, 0.25]))
    assert volume.values.shape == networks.clip().shape[:3]
    assert not volume.signed
    assert 0 <= float(volume.values.min()) <= float(volume.values.max()) <= 2
    pixels = 12 * 16 if variant != "st" else 6 * 12 * 16
    for area in (0.1, 0.25):
        assert abs(volume.details.measures[f"area {area:g}"] - area) <= max(0.01 * area, 0.5 / pixels)
        cells = volume.details.arrays[f"mask {area:g}"]
        assert cells.shape == (6, 4, 6)
        # Rows fill their cells; of the 6 columns of cells the first and the last are 2 pixels wide.
        widths = torch.tensor([2.0, 3.0, 3.0, 3.0, 3.0, 2.0])
        assert float((cells * widths).sum() / (16 * 24)) == pytest.approx(area, abs=0.01)


def test_scores_are_those_of_the_kept_part() -> None:
    asked = question(iterations=4, areas=[0.3], mode="dual")
    measures = explained(asked).details.measures
    probabilities = asked.logits.softmax(0)
    assert measures["score full"] == pytest.approx(float(probabilities[0]), abs=1e-5)
    assert 0 < measures["score 0.3"] < 1
    assert 0 < measures["score without 0.3"] < 1
    contrasted = explained(question(2, iterations=1)).details.measures
    assert contrasted["score full"] == pytest.approx(float(probabilities[0] / probabilities[[0, 2]].sum()), abs=1e-5)


def test_curves_show_every_iteration() -> None:
    asked = question(iterations=30, areas=[0.2], early_stop=False)
    curves = {curve.name: curve for curve in explained(asked).details.curves}
    assert set(curves) == {"objective 0.2", "misfit 0.2"}
    assert all(curve.x == tuple(range(1, 31)) for curve in curves.values())
    assert curves["objective 0.2"].y[-1] == pytest.approx(finished(asked).objective)
    assert curves["misfit 0.2"].y[-1] < curves["misfit 0.2"].y[0]


def test_it_stops_early_where_nothing_changes_any_more() -> None:
    asked = question(iterations=1000)
    state = finished(asked)
    assert state.done
    assert state.iteration < 500
    used = [METHOD.result(asked, state).details.measures[f"iterations {area}"] for area in ("0.05", "0.2")]
    assert max(used) == state.iteration
    # What stopped is a part of the same way: not stopping gives the same values up to there.
    longer = finished(question(iterations=state.iteration, early_stop=False))
    for number, count in enumerate(used):
        assert torch.equal(longer.arrays["scores"][number, : int(count)], state.arrays["scores"][number, : int(count)])


def test_the_smallest_sufficient_area_is_found() -> None:
    volume = explained(question(iterations=40, areas=[0.5, 0.02, 0.2], sufficient=0.9))
    measures = volume.details.measures
    enough = [a for a in (0.02, 0.2, 0.5) if measures[f"score {a:g}"] >= 0.9 * measures["score full"]]
    assert measures.get("sufficient area") == (enough[0] if enough else None)
    assert (volume.mask is None) == (not enough)
    never = explained(question(iterations=1, areas=[0.001], sufficient=1.0, perturbation="fade"))
    if never.details.measures["score 0.001"] < never.details.measures["score full"]:
        assert any("larger areas" in note for note in never.details.notes)


def test_a_perturbation_that_takes_nothing_away_is_said() -> None:
    asked = question(iterations=1, blur=0.01)
    assert any("masks mean little" in note for note in explained(asked).details.notes)


def test_areas_reach_the_method_through_the_worker() -> None:
    def ask(areas: list[float]) -> worker_pb2.ComputeResponse:
        clip = networks.clip()
        method = method_pb2.StPerturbation(areas=areas, iterations=2, step=4)
        compute = worker_pb2.Compute(
            clip=clip.tobytes(), frames=6, height=12, width=16, methods=[method_pb2.Method(st_perturbation=method)]
        )
        advance = worker_pb2.Advance(compute=compute, budget_seconds=3600, result=True)
        (reply,) = answer(Engine(networks.model()), [worker_pb2.ComputeRequest(advance=advance)])
        return reply

    reply = ask([0.25, 0.5])
    assert reply.advanced.done
    (explanation,) = reply.explanations
    assert set(explanation.arrays) == {"mask 0.25", "mask 0.5"}
    assert list(explanation.provenance.parameters["areas"]) == [0.25, 0.5]
    refused = ask([0.25, 1.5])
    assert refused.failure.reason == "BAD_PARAMETER"
    assert "areas.1" in refused.failure.message


@pytest.mark.parametrize(
    ("side", "given", "expected"),
    [
        (112, {}, (7, 11.0)),
        (224, {}, (14, 22.0)),
        (12, {}, (1, 11 * 12 / 112)),
        (224, {"step": 1}, (1, 16.0)),
        (112, {"sigma": 160.0}, (10, 160.0)),
        (224, {"step": 7, "sigma": 11.0}, (7, 11.0)),
    ],
)
def test_step_and_sigma_go_with_the_frame_unless_they_are_given(
    side: int, given: dict[str, Any], expected: tuple[int, float]
) -> None:
    size = networks.card().input.model_copy(update={"height": side, "width": side + 32})
    fitted = METHOD.fitted(networks.model(input=size), StPerturbationParameters(**given))
    assert (fitted.step, fitted.sigma) == expected  # type: ignore[attr-defined]
    StPerturbationParameters(**fitted.model_dump())


def test_a_mask_that_misses_its_area_is_called_none() -> None:
    volume = explained(question(iterations=2))
    measures, notes = volume.details.measures, volume.details.notes
    assert measures["misfit 0.05"] > 1
    assert measures["soft area 0.05"] > 3 * 0.05
    assert [note for note in notes if "area 0.05 misses it" in note and "cut through a grey mask" in note]
    assert "no mask holds its area" in volume.undefined
    # On its way it is no failure yet.
    asked = question(iterations=3)
    early = METHOD.result(asked, METHOD.advance(asked, METHOD.start(asked), 0.0))
    assert isinstance(early, SaliencyVolume)
    assert early.undefined == ""
    assert any("still on its way" in note for note in early.details.notes)


def test_a_mask_that_holds_its_area_is_one() -> None:
    volume = explained(question(areas=[0.2], iterations=1000))
    measures = volume.details.measures
    assert measures["misfit 0.2"] <= 0.5
    assert measures["soft area 0.2"] == pytest.approx(0.2, rel=0.5)
    assert volume.undefined == ""
    assert not any("grey" in note for note in volume.details.notes)


@pytest.mark.parametrize("variant", ["st", "sync", "unsync"])
def test_a_seed_that_is_larger_than_the_area_is_said(variant: str) -> None:
    volume = explained(question(areas=[0.002, 0.9], iterations=1, variant=variant, step=6, sigma=8.0))
    (note,) = (note for note in volume.details.notes if note.startswith("one seed alone"))
    assert "more than area 0.002:" in note
    assert "step and sigma (now 6 and 8 pixels)" in note
    assert ("of the clip" in note) == (variant == "st")
    large = explained(question(areas=[0.5], iterations=1, variant=variant, step=1, sigma=1.0))
    assert not any(note.startswith("one seed alone") for note in large.details.notes)


def test_the_cut_is_scored_with_softened_edges_too_and_its_perimeter_measured() -> None:
    asked = question(iterations=4, areas=[0.3], mode="dual")
    measures = explained(asked).details.measures
    state, clip = finished(asked), asked.model.prepare([asked.clip])[0]
    plan = asked.parameters.plan
    masks = Masks(plan, clip)
    cut = kept(masks.upsample(state.arrays["seeds"][0]).values, 0.3)
    edges = 0
    for frame in cut.tolist():
        for row, following in zip(frame, [*frame[1:], frame[-1]], strict=True):
            edges += sum(a != b for a, b in zip(row, following, strict=True))
            edges += sum(a != b for a, b in pairwise(row))
    assert measures["perimeter 0.3"] == edges > 0
    program, perturbed = asked.model.program, blurred(clip, 0.18 * 12, 8)
    soft = smoothed(cut.float()[None], 1.5)
    assert not torch.equal(soft[0], cut.float())
    for name, mask in (("softened score 0.3", soft), ("softened score without 0.3", 1 - soft)):
        shown, _ = perturbed.apply(mask)
        (expected,) = program.forward(shown, relevance=False).logits.softmax(1)[:, 0].tolist()
        assert measures[name] == pytest.approx(expected, abs=1e-5)
        assert measures[name] != measures[name.removeprefix("softened ")]


def test_a_job_that_was_begun_with_other_seeds_says_how_to_go_on() -> None:
    before, now = question(iterations=5, step=7, sigma=11.0), question(iterations=5, step=1, sigma=1.2)
    state = METHOD.advance(before, METHOD.start(before), 0.0)
    for run in (lambda: METHOD.advance(now, state, 0.0), lambda: METHOD.result(now, state)):
        with pytest.raises(RequestError, match="step=7,sigma=11") as raised:
            run()
        assert raised.value.reason == "BAD_STATE"


def test_an_undefined_volume_travels_and_is_read_as_such() -> None:
    clip = networks.clip()
    method = method_pb2.StPerturbation(areas=[0.05], iterations=1)
    compute = worker_pb2.Compute(
        clip=clip.tobytes(), frames=6, height=12, width=16, methods=[method_pb2.Method(st_perturbation=method)]
    )
    advance = worker_pb2.Advance(compute=compute, budget_seconds=3600, result=True)
    (reply,) = answer(Engine(networks.model()), [worker_pb2.ComputeRequest(advance=advance)])
    (explanation,) = reply.explanations
    assert "no mask holds its area" in explanation.saliency.undefined
    # Of 12 rows the seeds lie in each.
    assert dict(explanation.provenance.parameters)["step"] == 1
    assert read_explanation(explanation, answer_pb2.FrameReport(used=range(6))) == explanation.saliency.undefined
