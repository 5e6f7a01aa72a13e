"""ESV as a job's method: what it answers about models with frame features, however its iterations are cut."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor

from actionlens.card import Input, SamplingRule
from handlers.engine.engine import Engine, MethodCall
from handlers.errors import RequestError
from handlers.explainers import Question, State
from handlers.explainers.attribution import FrameAttribution, Target
from handlers.explainers.jobs.esv import EXPLAINER, EsvParameters
from handlers.explainers.shapley import average_values, relational_values
from handlers.models.action_model import ActionModel
from handlers.models.blocks.consensus import RelationalConsensus, frame_model
from handlers.support import tried
from tests.handlers.models.architectures.test_frame_models import SMALL
from tests.handlers.networks import clip, model

PRIOR = (0.5, 0.2, 0.3)


def relational(**changes: object) -> ActionModel:
    return model(architecture="trn", arguments={**SMALL, "hidden": 7, "scales": 3}, layer="", **changes)


def average() -> ActionModel:
    return model(architecture="tsn", arguments=SMALL, layer="", class_prior=PRIOR)


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


@torch.no_grad()
def test_an_average_of_frames_plays_the_game_of_probabilities_as_relations_do():
    asked = question(average(), frames=5)
    found = run(asked)

    def game(kept: tuple[int, ...]) -> Tensor:
        if not kept:
            return torch.tensor(PRIOR)
        (logits,) = asked.model.module(asked.model.prepare([asked.clip[list(kept)]]))
        return logits.softmax(0)

    expected = torch.zeros(5)
    for frame in range(5):
        others = [other for other in range(5) if other != frame]
        for size in range(5):
            gains = [game(tuple(sorted((*c, frame)))) - game(c) for c in combinations(others, size)]
            expected[frame] += torch.stack(gains).mean(0)[1] / 5
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-6)
    assert found.unit == "probability"
    assert found.details.measures["full_score"] == pytest.approx(float(asked.logits.softmax(0)[1]))
    assert found.details.measures["empty_score"] == pytest.approx(0.2)
    assert found.details.measures["efficiency_gap"] == pytest.approx(0, abs=1e-6)
    assert any("softmax probabilities" in note for note in found.details.notes)
    assert "exact: all 32 subsequences" in found.details.notes
    assert {curve.unit for curve in found.details.curves} == {"probability"}


def test_an_average_of_more_frames_than_are_enumerated_is_sampled_without_bias():
    exact = run(question(average(), frames=12))
    asked = question(average(), frames=12, exact_up_to=4, samples=24, iterations=60, tolerance=0)
    found = run(asked)
    error = found.details.measures["standard_error"]
    assert 0 < error < 0.01
    torch.testing.assert_close(found.values, exact.values, rtol=0, atol=5 * error)
    assert any("no bias" in note for note in found.details.notes)
    assert "bias" not in found.details.measures
    longest = run(question(average(), frames=64, samples=8, iterations=2))
    assert longest.values.isfinite().all()


def test_logits_of_an_average_are_exact_at_any_length_and_called_log_probabilities():
    asked = question(average(), frames=40, score="logit")
    found = run(asked)
    gain = float(asked.logits.log_softmax(0)[1] - torch.tensor(PRIOR).log()[1])
    assert float(found.values.sum()) == pytest.approx(gain, abs=1e-5)
    assert found.unit == "log-probability"
    assert any("log-probabilities" in note for note in found.details.notes)
    assert {curve.unit for curve in found.details.curves} == {"probability"}


def test_logits_of_relations_are_refused_with_the_reason():
    with pytest.raises(RequestError, match="use probability") as raised:
        Engine(relational()).resolve(EXPLAINER, MethodCall("esv", {"score": "logit"}))
    assert raised.value.field.endswith("score")
    Engine(average()).resolve(EXPLAINER, MethodCall("esv", {"score": "logit"}))


@pytest.mark.parametrize("done", [False, True])
def test_an_average_begun_before_there_was_a_score_is_explained_anew(done: bool):
    asked = question(average(), frames=6)
    state = EXPLAINER.start(asked)
    # What an earlier version left: the same features, no numbers, and a game of logits where it was through.
    before = State(int(done), 1, done, arrays={"features": state.arrays["features"], "curves": torch.ones(9, 3)})
    for found in (EXPLAINER.advance(asked, before, 60), EXPLAINER.advance(asked, state, 60)):
        assert found.done
    resumed = EXPLAINER.result(asked, before if done else EXPLAINER.advance(asked, before, 60))
    assert isinstance(resumed, FrameAttribution)
    torch.testing.assert_close(resumed.values, run(asked).values)
    assert resumed.unit == "probability"


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


def test_it_stops_early_at_the_asked_tolerance_of_both_the_spread_and_the_bias():
    asked = question(relational(), frames=9, exact_up_to=4, samples=24, iterations=1000, tolerance=0.005)
    state = EXPLAINER.advance(asked, EXPLAINER.start(asked), 60)
    assert state.done
    assert 4 <= state.iteration < 1000
    assert state.objective is not None
    assert state.objective < 0.005
    measures = EXPLAINER.result(asked, state).details.measures
    assert measures["standard_error"] < 0.005
    assert measures["bias"] < 0.005


def confident() -> ActionModel:
    """Its scores change so much from frame to frame that a mean of few parents is far from that of all."""
    made = relational()
    network = frame_model(made.module)
    assert network is not None
    assert isinstance(network.consensus, RelationalConsensus)
    with torch.no_grad():
        for relation in network.consensus.used(3):
            relation.last.weight *= 100
    return made


def test_a_small_spread_alone_does_not_end_the_sampling_while_the_bias_is_large():
    exact = run(question(confident(), frames=9))
    asked = question(confident(), frames=9, exact_up_to=4, samples=8, iterations=120, tolerance=0.01)
    found = run(asked)
    measures = found.details.measures
    off = float((found.details.arrays["values_by_class"] - exact.details.arrays["values_by_class"]).abs().max())
    # The spread was below the tolerance long before.
    assert measures["standard_error"] < 0.01 / 2
    assert measures["bias"] > 0.01
    assert off < measures["bias"] + 5 * measures["standard_error"]
    assert found.details.arrays["bias"].shape == (9, 3)
    (note,) = (note for note in found.details.notes if "sampled:" in note)
    assert "120 iterations" in note
    assert "more samples lower it" in note


def test_a_full_sample_and_a_single_one_say_what_is_known_of_their_bias():
    full = run(question(relational(), frames=6, exact_up_to=4, samples=20, iterations=50))
    assert "bias" not in full.details.measures
    assert any("4 iterations" in note and "no bias" in note for note in full.details.notes)
    single = run(question(relational(), frames=6, exact_up_to=4, samples=1, iterations=5, tolerance=1))
    assert any("5 iterations" in note and "unknown bias" in note for note in single.details.notes)


def test_a_sampled_job_begun_before_its_bias_was_estimated_goes_on():
    asked = question(relational(), frames=9, exact_up_to=4, samples=6, iterations=6, tolerance=0)
    state = EXPLAINER.advance(asked, EXPLAINER.start(asked), 0)
    arrays = {name: array for name, array in state.arrays.items() if not name.startswith("bias")}
    before = State(state.iteration, state.iterations, arrays=arrays)
    found = EXPLAINER.result(asked, EXPLAINER.advance(asked, before, 60))
    assert isinstance(found, FrameAttribution)
    torch.testing.assert_close(found.values, run(asked).values)
    assert found.details.measures["bias"] > 0


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


def averaging(windows: int = 3, **changes: object) -> ActionModel:
    """A network of clips of 6 frames that is shown so many windows."""
    shown = Input(
        frames=6 * windows,
        height=12,
        width=16,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.25, 0.3),
        sampling=SamplingRule.DENSE,
        windows=windows,
    )
    return model(input=shown, class_prior=PRIOR, **changes)


@torch.no_grad()
def window_logits(asked: Question[EsvParameters]) -> Tensor:
    """[N, K] by the network alone, which knows nothing of windows."""
    alone = model(class_prior=PRIOR)
    clips = [asked.clip[first : first + 6] for first in range(0, len(asked.clip), 6)]
    return torch.cat([alone.program.forward(alone.prepare([clip])).logits for clip in clips])


@torch.no_grad()
def test_of_a_model_that_averages_clip_scores_the_elements_are_windows():
    asked = question(averaging(), frames=18)
    by_window = window_logits(asked)
    torch.testing.assert_close(asked.logits, by_window.mean(0))
    found = run(asked)

    def game(kept: tuple[int, ...]) -> Tensor:
        return by_window[list(kept)].mean(0).softmax(0) if kept else torch.tensor(PRIOR)

    expected = torch.zeros(3)
    for window in range(3):
        others = [other for other in range(3) if other != window]
        for size in range(3):
            gains = [game((*c, window)) - game(c) for c in combinations(others, size)]
            expected[window] += torch.stack(gains).mean(0)[1] / 3
    torch.testing.assert_close(found.values, expected.repeat_interleave(6) / 6, rtol=0, atol=1e-6)
    assert found.unit == "probability"
    assert found.details.arrays["elements"].tolist() == [[0, 5], [6, 11], [12, 17]]
    torch.testing.assert_close(found.details.arrays["values_by_class"][:, 1].float(), expected, rtol=0, atol=1e-6)
    assert "the model averages its scores of windows of 6 frames, which share their window's value equally" in (
        found.details.notes
    )
    assert any(note.startswith("supporting windows: ") for note in found.details.notes)
    assert {curve.x_name for curve in found.details.curves} == {"windows seen", "windows discarded"}


def test_logits_of_windows_have_the_closed_form():
    asked = question(averaging(20), frames=120, score="logit")
    found = run(asked)
    gain = float(asked.logits.log_softmax(0)[1] - torch.tensor(PRIOR).log()[1])
    assert float(found.values.sum()) == pytest.approx(gain, abs=1e-5)
    assert found.unit == "log-probability"
    assert len(found.details.arrays["elements"]) == 20
    expected = average_values(window_logits(asked), torch.tensor(PRIOR)).values[:, 1]
    torch.testing.assert_close(found.details.arrays["values_by_class"][:, 1], expected, rtol=0, atol=1e-6)


def test_more_windows_than_are_enumerated_are_sampled():
    asked = question(averaging(18), frames=108, samples=8, iterations=3)
    found = run(asked)
    assert any("sampled: 3 iterations" in note for note in found.details.notes)
    assert found.values.isfinite().all()


def test_no_method_reads_one_of_several_windows_for_all_of_them():
    answers = tried(averaging())
    assert {name for name, reason in answers.items() if not reason} == {
        "esv",
        "frame-shapley",
        "gradient-shap",
        "integrated-gradients",
        "occlusion",
        "shapley-sampling",
        "st-perturbation",
        "temporal-mask",
    }
    assert "several windows" in answers["dtd"]
