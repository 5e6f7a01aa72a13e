"""ESV as a job's method: what it answers about models with frame features, however its iterations are cut."""

from __future__ import annotations

import pytest
import torch

from handlers.engine.engine import Engine, MethodCall
from handlers.errors import RequestError
from handlers.explainers import Question, State
from handlers.explainers.attribution import FrameAttribution, Target
from handlers.explainers.jobs.esv import EXPLAINER, EsvParameters
from handlers.explainers.shapley import relational_values
from handlers.models.action_model import ActionModel
from handlers.models.blocks.consensus import RelationalConsensus, frame_model
from tests.handlers.models.architectures.test_frame_models import SMALL
from tests.handlers.networks import clip, model

PRIOR = (0.5, 0.2, 0.3)


def relational(**changes: object) -> ActionModel:
    return model(architecture="trn", arguments={**SMALL, "hidden": 7, "scales": 3}, layer="", **changes)


def question(
    asked: ActionModel, frames: int = 6, target: Target | None = None, seed: int = 0, **parameters: object
) -> Question[EsvParameters]:
    pixels = clip(frames=frames)
    with torch.no_grad():
        (logits,) = asked.module(asked.prepare([pixels]))
    return Question(asked, pixels, logits, target or Target(1), EsvParameters.model_validate(parameters), seed)


def run(asked: Question[EsvParameters]) -> FrameAttribution:
    found = EXPLAINER.result(asked, EXPLAINER.advance(asked, EXPLAINER.start(asked), 60))
    assert isinstance(found, FrameAttribution)
    return found


@torch.no_grad()
def test_the_values_are_those_of_the_clips_own_features():
    asked = question(relational(class_prior=PRIOR))
    found = run(asked)
    network = frame_model(asked.model.module)
    assert network is not None
    assert isinstance(network.consensus, RelationalConsensus)
    (features,) = network.frame_features(asked.model.prepare([asked.clip]))
    expected = relational_values(network.consensus, features, torch.tensor(PRIOR)).values
    torch.testing.assert_close(found.values, expected[:, 1].float())
    torch.testing.assert_close(found.details.arrays["values_by_class"], expected)
    torch.testing.assert_close(found.details.arrays["marginals"].mean(0).float(), found.values)
    assert found.details.measures["empty_score"] == pytest.approx(0.2)
    assert found.details.measures["efficiency_gap"] == pytest.approx(0, abs=1e-5)


@torch.no_grad()
def test_the_frames_of_a_snippet_share_its_value():
    asked = model(
        architecture="trn", arguments={**SMALL, "hidden": 7, "scales": 3, "snippet": 2}, layer="", class_prior=PRIOR
    )
    found = run(question(asked, frames=5))
    by_class = found.details.arrays["values_by_class"]
    assert by_class.shape == (3, 3)
    first, second, last = by_class[:, 1].float()
    torch.testing.assert_close(found.values, torch.stack([first / 2, first / 2, second / 2, second / 2, last]))
    (curve,) = (curve for curve in found.details.curves if curve.name == "running score")
    assert (curve.x_name, len(curve.x)) == ("snippets seen", 4)
    assert any("snippets of 2 frames" in note for note in found.details.notes)
    assert found.details.arrays["elements"].tolist() == [[0, 1], [2, 3], [4, 4]]


def test_a_contrast_is_the_difference_of_two_classes():
    asked = relational()
    one, other = (run(question(asked, target=Target(index))).values for index in (1, 2))
    both = run(question(asked, target=Target(1, 2)))
    torch.testing.assert_close(both.values, one - other)
    supporting = int((both.values > 0).sum())
    assert both.details.measures["supporting"] == supporting


@pytest.mark.parametrize("architecture", ["trn", "tsn"])
@torch.no_grad()
def test_frames_are_discarded_in_the_order_of_their_values(architecture: str):
    arguments = {**SMALL, "hidden": 7, "scales": 3} if architecture == "trn" else SMALL
    asked = question(model(architecture=architecture, arguments=arguments, layer=""), frames=5)
    found = run(asked)
    curves = {curve.name: curve for curve in found.details.curves}
    orders = ("highest", "lowest", "centre", "edges")
    assert set(curves) == {"running score", *(f"discard {order} first" for order in orders)}
    order = found.values.argsort(descending=True)
    highest = curves["discard highest first"]
    assert highest.x == (0, 1, 2, 3, 4, 5)
    for gone in range(5):
        kept = asked.clip[sorted(order[gone:].tolist())]
        (logits,) = asked.model.module(asked.model.prepare([kept]))
        assert highest.y[gone] == pytest.approx(float(logits.softmax(0)[1]), abs=1e-5)
    assert highest.y[5] == pytest.approx(1 / 3)
    (logits,) = asked.model.module(asked.model.prepare([asked.clip[[0, 4]]]))
    assert curves["discard centre first"].y[3] == pytest.approx(float(logits.softmax(0)[1]), abs=1e-5)
    assert curves["running score"].y == pytest.approx(
        [1 / 3]
        + [
            float(asked.model.module(asked.model.prepare([asked.clip[:seen]]))[0].softmax(0)[1]) for seen in range(1, 6)
        ],
        abs=1e-5,
    )


def test_an_average_of_frames_is_exact_at_any_length_on_log_probabilities():
    asked = question(model(architecture="tsn", arguments=SMALL, layer="", class_prior=PRIOR), frames=40)
    found = run(asked)
    gain = float(asked.logits.log_softmax(0)[1] - torch.tensor(PRIOR).log()[1])
    assert float(found.values.sum()) == pytest.approx(gain, abs=1e-5)
    assert any("log-probabilities" in note for note in found.details.notes)


def test_blocks_through_bytes_come_to_the_same_as_one_go():
    asked = question(relational(), frames=9, seed=7, exact_up_to=4, samples=6, iterations=5, tolerance=0)
    whole = EXPLAINER.advance(asked, EXPLAINER.start(asked), 60)
    state = EXPLAINER.start(asked)
    blocks = 0
    while not state.done:
        state = State.from_bytes(EXPLAINER.advance(asked, state, 0).to_bytes())
        blocks += 1
    assert blocks == 5
    assert state.arrays.keys() == whole.arrays.keys()
    for name, tensor in whole.arrays.items():
        assert torch.equal(state.arrays[name], tensor), name
    other = question(relational(), frames=9, seed=8, exact_up_to=4, samples=6, iterations=5, tolerance=0)
    assert not torch.equal(run(other).values, run(asked).values)


def test_sampling_comes_near_to_the_exact_values_and_says_how_near():
    exact = run(question(relational(), frames=9))
    asked = question(relational(), frames=9, exact_up_to=4, samples=24, iterations=40, tolerance=0)
    found = run(asked)
    error = found.details.measures["standard_error"]
    assert 0 < error < 0.01
    torch.testing.assert_close(found.values, exact.values, rtol=0, atol=5 * error + 1e-3)
    assert "sampled: 40 iterations" in " ".join(found.details.notes)


def test_it_stops_early_at_the_asked_tolerance():
    asked = question(relational(), frames=9, exact_up_to=4, samples=24, iterations=1000, tolerance=0.005)
    state = EXPLAINER.advance(asked, EXPLAINER.start(asked), 60)
    assert state.done
    assert 4 <= state.iteration < 1000
    assert state.objective is not None
    assert state.objective < 0.005


def test_what_was_found_so_far_is_told_at_any_time():
    asked = question(relational(), frames=9, exact_up_to=4, samples=6)
    state = EXPLAINER.advance(asked, EXPLAINER.start(asked), 0)
    found = EXPLAINER.result(asked, state)
    assert isinstance(found, FrameAttribution)
    assert found.values.isfinite().all()
    assert "standard_error" not in found.details.measures
    assert found.details.curves == ()


def test_a_model_that_mixes_frames_is_refused_with_what_can_explain_it():
    engine = Engine(model())
    assert "frame-shapley" in (EXPLAINER.unsupported(engine.model) or "")
    assert EXPLAINER.unsupported(relational()) is None
    with pytest.raises(RequestError, match="frame-shapley"):
        engine.resolve(EXPLAINER, MethodCall("esv"))
