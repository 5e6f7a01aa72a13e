"""Frame Shapley values of models with a fixed clip length, against plain loops over all subsets."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from handlers.engine.block import advance
from handlers.engine.description import describe
from handlers.engine.engine import ClipRequest, Engine, MethodCall
from handlers.explainers import Question, State
from handlers.explainers.attribution import FrameAttribution, Target
from handlers.explainers.jobs.frame_shapley import EXPLAINER, FrameShapleyParameters
from handlers.explainers.shapley import Elements
from handlers.importing.checkpoint import import_model
from handlers.models.action_model import ActionModel
from service.decoding.fit import fit
from tests.e2e.conftest import gesture_card
from tests.handlers.models.architectures.test_frame_models import SMALL
from tests.handlers.networks import clip, model

PRIOR = (0.5, 0.2, 0.3)


def question(
    asked: ActionModel, target: Target | None = None, frames: int = 6, seed: int = 0, **parameters: object
) -> Question[FrameShapleyParameters]:
    pixels = clip(frames=frames)
    with torch.no_grad():
        (logits,) = asked.module(asked.prepare([pixels]))
    chosen = FrameShapleyParameters.model_validate(parameters)
    return Question(asked, pixels, logits, target or Target(2), chosen, seed)


def run(asked: Question[FrameShapleyParameters]) -> FrameAttribution:
    found = EXPLAINER.result(asked, EXPLAINER.advance(asked, EXPLAINER.start(asked), 60))
    assert isinstance(found, FrameAttribution)
    return found


@torch.no_grad()
def by_loops(asked: Question[FrameShapleyParameters], groups: list[list[int]]) -> Tensor:
    """Eq. 4 over groups of frames: [E, K]."""
    (pixels,) = asked.model.prepare([asked.clip])
    hold = asked.parameters.absent == "hold"

    def value(kept: tuple[int, ...]) -> Tensor:
        frames = [frame for group in kept for frame in groups[group]]
        if hold and not frames:
            return torch.tensor(PRIOR, dtype=torch.float64)
        shown = []
        for frame in range(pixels.shape[1]):
            if frame in frames:
                shown.append(pixels[:, frame])
            elif hold:
                nearest = min(frames, key=lambda other: (abs(other - frame), other))
                shown.append(pixels[:, nearest])
            else:
                shown.append(pixels.mean(1))
        (logits,) = asked.model.module(torch.stack(shown, 1)[None])
        return logits.double().softmax(0)

    count = len(groups)
    values = torch.zeros(count, 3, dtype=torch.float64)
    for element in range(count):
        others = [other for other in range(count) if other != element]
        for size in range(count):
            weight = math.factorial(count - size - 1) * math.factorial(size) / math.factorial(count)
            for chosen in combinations(others, size):
                values[element] += weight * (value(tuple(sorted((*chosen, element)))) - value(chosen))
    return values


@pytest.mark.parametrize("absent", ["hold", "mean"])
def test_values_are_those_of_a_loop_over_all_subsets(absent: str):
    asked = question(model(class_prior=PRIOR), absent=absent, elements=4)
    found = run(asked)
    groups = [[0], [1, 2], [3], [4, 5]]
    expected = by_loops(asked, groups)
    torch.testing.assert_close(found.details.arrays["values_by_class"], expected, rtol=0, atol=1e-5)
    shares = [expected[group, 2] / len(frames) for group, frames in enumerate(groups) for _ in frames]
    torch.testing.assert_close(found.values, torch.stack(shares).float(), rtol=0, atol=1e-5)
    assert found.details.arrays["elements"].tolist() == [[0, 0], [1, 2], [3, 3], [4, 5]]
    assert found.details.measures["efficiency_gap"] == pytest.approx(0, abs=1e-5)
    assert f"frame Shapley ({absent})" in found.details.notes[0]


@given(st.integers(1, 40), st.data())
def test_groups_share_out_all_frames(frames: int, data: st.DataObject):
    elements = Elements(frames, data.draw(st.integers(1, frames)))
    covered = [frame for first, last in elements.bounds for frame in range(first, last + 1)]
    assert covered == list(range(frames))
    sizes = [last - first + 1 for first, last in elements.bounds]
    assert max(sizes) - min(sizes) <= 1
    values = torch.arange(1.0, elements.count + 1)
    assert float(elements.spread(values).sum()) == pytest.approx(float(values.sum()))


def test_a_contrast_is_the_difference_of_two_classes():
    asked = model()
    one, other = (run(question(asked, Target(index), elements=3)).values for index in (0, 2))
    torch.testing.assert_close(run(question(asked, Target(0, 2), elements=3)).values, one - other)


def test_there_are_no_more_elements_than_frames():
    found = run(question(model()))
    assert found.details.arrays["elements"].shape == (6, 2)
    alone = run(question(model(architecture="tsn", arguments=SMALL, layer=""), frames=1))
    assert alone.values.shape == (1,)
    assert alone.details.measures["efficiency_gap"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("parameters", [{"exact_up_to": 6}, {"exact_up_to": 2, "iterations": 5, "tolerance": 0.0}])
def test_blocks_through_bytes_come_to_the_same_as_one_go(
    parameters: dict[str, object], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("handlers.explainers.jobs.frame_shapley._AT_ONCE", 4 * 3 * 6 * 12 * 16)
    asked = question(model(), seed=3, **parameters)
    whole = EXPLAINER.advance(asked, EXPLAINER.start(asked), 60)
    state = EXPLAINER.start(asked)
    blocks = 0
    while not state.done:
        state = State.from_bytes(EXPLAINER.advance(asked, state, 0).to_bytes())
        blocks += 1
        found = EXPLAINER.result(asked, state)
        assert isinstance(found, FrameAttribution)
        assert found.values.isfinite().all()
        assert bool(found.details.curves) == state.done
    assert blocks > 3
    for name, tensor in whole.arrays.items():
        assert torch.equal(state.arrays[name], tensor), name


def test_permutations_come_near_to_the_exact_values():
    exact = run(question(model()))
    found = run(question(model(), exact_up_to=2, iterations=100, tolerance=0))
    error = found.details.measures["standard_error"]
    assert 0 < error < 0.01
    torch.testing.assert_close(found.values, exact.values, rtol=0, atol=5 * error)
    early = question(model(), exact_up_to=2, iterations=300, tolerance=0.005)
    state = EXPLAINER.advance(early, EXPLAINER.start(early), 60)
    assert state.done
    assert state.iteration < 300


@torch.no_grad()
def test_the_score_is_told_for_every_discarded_element():
    asked = question(model(class_prior=PRIOR), elements=3)
    for exact_up_to in (3, 1):
        found = run(question(model(class_prior=PRIOR), elements=3, exact_up_to=exact_up_to, iterations=4))
        running = next(curve for curve in found.details.curves if curve.name == "running score")
        held = asked.clip[[0, 1, 1, 1, 1, 1]]
        (logits,) = asked.model.module(asked.model.prepare([held]))
        assert running.x == (0, 1, 2, 3)
        assert running.y[0] == pytest.approx(PRIOR[2])
        assert running.y[1] == pytest.approx(float(logits.softmax(0)[2]), abs=1e-5)
        assert running.y[3] == pytest.approx(float(asked.logits.softmax(0)[2]), abs=1e-6)


def test_the_real_swipe_is_decided_by_its_last_third(assets: Path, tmp_path: Path):
    """Freezing frames 20-24 is what costs this model its answer; the frames before 10 may be any."""
    card = gesture_card(tmp_path, assets)
    weights = assets / "models/gesture_conv3d/gesture_conv3d_torch_layout.npz"
    engine = Engine.load(import_model(card, weights, tmp_path / "store").folder)
    size = describe(engine.model).input
    pictures = [cv2.imread(str(path)) for path in sorted((assets / "clips/gesture_swipe_30f").glob("*.png"))]
    pixels = np.stack([fit(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), size)[0] for picture in pictures])
    call = MethodCall("frame-shapley", {"elements": 3})
    block = advance(engine, ClipRequest(pixels, [call]), b"", 600, 0, result=True)
    assert isinstance(block.result, FrameAttribution)
    assert engine.model.card.labels[block.target.index] == "Left_Swipe"
    early, middle, late = block.result.details.arrays["values_by_class"][:, block.target.index].tolist()
    assert late > middle > early
    assert late > 0.4
    assert abs(early) < 0.1
    assert block.result.details.measures["full_score"] == pytest.approx(0.987, abs=0.005)
