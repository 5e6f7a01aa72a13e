"""The temporal mask as a method: blocks, windows by brute force, statistics, and when it says nothing."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from handlers.engine.block import JobBlock, advance
from handlers.engine.engine import ClipRequest, Engine, MethodCall
from handlers.errors import RequestError
from handlers.explainers import State
from handlers.explainers.attribution import FrameAttribution
from handlers.explainers.temporal_masks import FrameMixer, Loss, Perturbation, freeze
from handlers.models.action_model import ActionModel
from tests.handlers import networks

FRAMES, MOVING = 6, 3


@pytest.fixture(scope="module")
def model() -> ActionModel:
    """Class 0 where a frame is brighter than the one before: a difference over time, rectified, in a linear head."""
    card = networks.card(arguments={"channels": [2], "hidden": []}, layer="relu1")
    module = networks.module(card).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        weights = module.get_submodule("conv1").weight
        weights[0, 0, 0, 1, 1], weights[0, 0, 1, 1, 1] = -1, 1
        module.get_submodule("conv1").bias.fill_(-0.1)
        module.get_submodule("fc1").weight[0, 0] = 8
        module.get_submodule("fc1").bias[1] = 3
    return ActionModel(card, module)


@pytest.fixture
def clip() -> NDArray[np.uint8]:
    """Black before frame MOVING, white from there: all the evidence is one change, and only freezing all that is white
    removes it."""
    made = np.zeros((FRAMES, 12, 16, 3), np.uint8)
    made[MOVING:] = 255
    return made


def run(model: ActionModel, clip: NDArray[np.uint8], seconds: float = 1e9, **parameters: Any) -> JobBlock:
    call = MethodCall("temporal-mask", {"iterations": 60, **parameters})
    state, done = b"", False
    while not done:
        block = advance(Engine(model), ClipRequest(clip, [call], target=0), state, seconds, 0, result=True)
        state, done = block.state.to_bytes(), block.state.done
    return block


def values(block: JobBlock) -> FrameAttribution:
    assert isinstance(block.result, FrameAttribution)
    return block.result


def probability(model: ActionModel, clip: NDArray[np.uint8]) -> float:
    logits = model.program.forward(model.prepare([clip]), relevance=False).logits[0]
    return float(logits.softmax(0)[0])


def frozen(clip: NDArray[np.uint8], first: int, last: int) -> NDArray[np.uint8]:
    made = clip.copy()
    made[first : last + 1] = clip[first - 1]
    return made


def test_the_mask_is_on_where_the_change_is(model: ActionModel, clip: NDArray[np.uint8]) -> None:
    found = values(run(model, clip, iterations=200))
    measures = found.details.measures
    assert found.details.notes == ()
    on = found.details.arrays["on"]
    assert on.tolist() == [0, 0, 0, 1, 1, 1]
    assert measures["mask_length"] == float(on.sum()) == float((found.values > 0.5).sum())
    masked = clip.copy()
    for frame in range(1, FRAMES):
        masked[frame] = masked[frame - 1] if on[frame] else clip[frame]
    assert measures["original_score"] == pytest.approx(probability(model, clip), abs=1e-5)
    assert measures["freeze_score"] == pytest.approx(probability(model, masked), abs=1e-5)
    assert measures["freeze_score"] < measures["original_score"] - 0.3
    mixer = FrameMixer(model.prepare([clip]))
    with torch.no_grad():
        soft = model.module(mixer.mixed(freeze(found.details.arrays["learned"])[None])).softmax(1)[0, 0]
    assert measures["soft_score"] == pytest.approx(float(soft), abs=1e-5)
    assert measures["soft_length"] == pytest.approx(float(found.details.arrays["learned"].sum()))
    by_length = next(curve for curve in found.details.curves if curve.x_name == "frames")
    assert measures["freeze_score"] <= by_length.y[by_length.x.index(measures["mask_length"])] + 0.001


def test_every_window_is_scored_as_by_brute_force(model: ActionModel, clip: NDArray[np.uint8]) -> None:
    found = values(run(model, clip)).details
    listed = {
        (int(first), int(last)): score
        for (first, last), score in zip(
            found.arrays["windows"].tolist(), found.arrays["window_scores"].tolist(), strict=True
        )
    }
    expected = {
        (first, last): probability(model, frozen(clip, first, last))
        for first, last in itertools.combinations_with_replacement(range(1, FRAMES), 2)
    }
    assert listed == pytest.approx(expected, abs=1e-5)
    losses = {w: 0.01 * (w[1] - w[0] + 1) + 0.02 * (1 + (w[1] < FRAMES - 1)) + p for w, p in expected.items()}
    best = min(losses, key=lambda window: losses[window])
    assert (found.measures["window_first"], found.measures["window_last"]) == best


@pytest.mark.parametrize("perturbation", ["freeze", "reverse"])
def test_cut_into_blocks_is_the_same_to_the_bit(model: ActionModel, clip: NDArray[np.uint8], perturbation: str) -> None:
    whole = run(model, clip, 1e9, iterations=12, perturbation=perturbation)
    cut = run(model, clip, 0.0, iterations=12, perturbation=perturbation)
    assert whole.state.iteration == cut.state.iteration == whole.state.iterations
    for name, tensor in whole.state.arrays.items():
        assert torch.equal(tensor, cut.state.arrays[name]), name
    assert torch.equal(values(whole).values, values(cut).values)
    assert whole.state.objective == cut.state.objective
    assert values(whole).details.measures == values(cut).details.measures


def test_a_partial_result_is_the_mask_so_far(model: ActionModel, clip: NDArray[np.uint8]) -> None:
    request = ClipRequest(clip, [MethodCall("temporal-mask", {"iterations": 5})], target=0)
    state, curve = b"", 0
    while curve < 3:
        block = advance(Engine(model), request, state, 0.0, 0, result=True)
        state, held = block.state.to_bytes(), State.from_bytes(block.state.to_bytes())
        curve = len(held.arrays["losses"])
    found = values(block)
    assert not block.state.done
    assert found.details.notes == ()
    assert torch.equal(found.values[1:], torch.sigmoid(held.arrays["best"])[1:])
    assert float(found.values[0]) == 0
    assert next(curve for curve in found.details.curves if curve.name == "objective").x == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("perturbation", ["freeze", "reverse"])
def test_the_learned_mask_is_the_lowest_that_the_descent_passed(
    model: ActionModel, clip: NDArray[np.uint8], perturbation: Perturbation
) -> None:
    found = values(run(model, clip, iterations=60, perturbation=perturbation))
    mask = found.details.arrays["learned"]
    objective = next(curve for curve in found.details.curves if curve.name == "objective")
    mixing = Perturbation(perturbation).mixing(mask[None])
    with torch.no_grad():
        score = model.module(FrameMixer(model.prepare([clip])).mixed(mixing)).softmax(1)[0, 0]
    cost = Loss(0.01, 0.02, 3.0).cost(mask)
    assert float(cost + score) == pytest.approx(min(objective.y), abs=1e-5)


def test_a_clip_in_which_nothing_moves_has_no_mask_and_says_why(model: ActionModel) -> None:
    still = np.full((FRAMES, 12, 16, 3), 90, np.uint8)
    for perturbation, verb in (("freeze", "freezing"), ("reverse", "reversing")):
        found = values(run(model, still, perturbation=perturbation))
        assert found.values.tolist() == [0.0] * FRAMES
        (note,) = found.details.notes
        assert note.startswith(f"{verb} changes nothing")
        assert "shown_score" not in found.details.measures


def test_a_mask_that_costs_more_than_it_takes_is_not_shown(model: ActionModel, clip: NDArray[np.uint8]) -> None:
    found = values(run(model, clip, sparsity=2.0))
    assert found.values.tolist() == [0.0] * FRAMES
    (note,) = found.details.notes
    assert "costs" in note


def test_a_window_that_beats_the_descent_is_shown_instead(model: ActionModel, clip: NDArray[np.uint8]) -> None:
    """Only the whole clip reversed hides the rise; the descent sees no way there."""
    found = values(run(model, clip, perturbation="reverse"))
    assert found.values.tolist() == [1.0] * FRAMES
    assert not torch.equal(found.details.arrays["learned"], found.values)
    (note,) = found.details.notes
    assert "shown instead" in note
    assert "statistics of freezing and reversing are those of the mask that was found" in note
    measures = found.details.measures
    assert measures["shown_length"] == FRAMES
    assert measures["shown_score"] == pytest.approx(probability(model, np.ascontiguousarray(clip[::-1])), abs=1e-5)


def test_the_ratio_of_drops_is_left_out_where_it_means_nothing(model: ActionModel, clip: NDArray[np.uint8]) -> None:
    measures = values(run(model, clip, iterations=200)).details.measures
    fall, turned = (measures["original_score"] - measures[f"{name}_score"] for name in ("freeze", "reverse"))
    assert measures["drop_difference"] == pytest.approx(fall - turned)
    if min(fall, turned) > 0.001:
        assert measures["drop_ratio"] == pytest.approx(fall / turned)
    else:
        assert "drop_ratio" not in measures


STILL = np.full((FRAMES, 12, 16, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("made", "parameters", "shown"),
    [
        ("change", {"iterations": 200}, "learned"),
        ("change", {"perturbation": "reverse"}, "a window"),
        ("still", {}, "none"),
        ("still", {"perturbation": "reverse"}, "none"),
        ("change", {"sparsity": 2.0}, "none"),
    ],
)
def test_the_statistics_are_those_of_the_learned_mask_whatever_is_shown(
    model: ActionModel, clip: NDArray[np.uint8], made: str, parameters: dict[str, Any], shown: str
) -> None:
    seen = clip if made == "change" else STILL
    block = run(model, seen, **parameters)
    found, arrays = values(block), block.state.arrays
    learned = torch.sigmoid(arrays["best"])
    if parameters.get("perturbation") != "reverse":
        learned[0] = 0  # nothing comes before frame 0 to freeze it to
    on = found.details.arrays["on"].bool()
    assert {"none": not on.any(), "learned": torch.equal(found.values, learned)}.get(
        shown, bool(on.any()) and not torch.equal(found.values, learned)
    )
    mixer, measures = FrameMixer(model.prepare([seen])), found.details.measures
    for which, mask in (("soft_", learned), ("", (learned > 0.5).float())):
        left = {}
        for kind in Perturbation:
            with torch.no_grad():
                mixed = mixer.mixed(kind.mixing(mask[None]))
                left[kind] = float(model.module(mixed).softmax(1)[0, 0])
            assert measures[f"{which}{kind}_score"] == pytest.approx(left[kind], abs=1e-5)
        fall, turned = (measures["original_score"] - left[kind] for kind in Perturbation)
        assert measures[f"{which}drop_difference"] == pytest.approx(fall - turned, abs=1e-5)
        assert (f"{which}drop_ratio" in measures) == (min(fall, turned) > 0.001)
    assert measures["soft_length"] == pytest.approx(float(learned.sum()))
    assert measures["mask_length"] == float((learned > 0.5).sum())
    # What is shown has measures of its own.
    assert ("shown_score" in measures) == (shown != "none")
    if shown != "none":
        assert measures["shown_length"] == float(on.sum())


def test_without_a_descent_the_statistics_are_the_windows_and_that_is_said(
    model: ActionModel, clip: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActionModel, "no_mixing", "frames cannot be mixed", raising=True)
    found = values(run(model, clip))
    measures = found.details.measures
    assert found.details.arrays["on"].tolist() == [0, 0, 0, 1, 1, 1]
    assert measures["freeze_score"] == measures["shown_score"] == measures["soft_freeze_score"]
    assert any("are the window's" in note for note in found.details.notes)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"perturbation": "shuffle"}, "perturbation"),
        ({"iterations": 0}, "iterations"),
        ({"sparsity": -1.0}, "sparsity"),
        ({"smoothness": float("nan")}, "smoothness"),
        ({"power": 0.5}, "power"),
    ],
)
def test_a_parameter_out_of_range_is_named(
    model: ActionModel, clip: NDArray[np.uint8], parameters: dict[str, Any], field: str
) -> None:
    with pytest.raises(RequestError) as caught:
        run(model, clip, **parameters)
    assert caught.value.field == field
