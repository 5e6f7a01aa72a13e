"""Method st-perturbation: resumable, exact areas, honest notes, and all of it through the worker's envelope."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from actionlens.v1 import method_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine.engine import Engine
from handlers.explainers import Question, State, iterative
from handlers.explainers.attribution import SaliencyVolume, Target
from handlers.explainers.jobs.st_perturbation import StPerturbationParameters
from handlers.wire.requests import answer
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
        advance = worker_pb2.Advance(compute=compute, budget_seconds=60, result=True)
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
