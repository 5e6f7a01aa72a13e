"""The sanity check: maps that follow the network pass, maps that do not fail."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from handlers.engine.engine import ClipRequest, Engine, MethodCall
from handlers.errors import RequestError
from handlers.evaluation.measure import Better, LeftOut
from handlers.evaluation.measures.parameter_randomisation import (
    BINS,
    MEASURES,
    ParameterRandomisationParameters,
    complexity,
    complexity_rise,
    similarities,
    without_padding,
)
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, FrameAttribution, RelevanceMatrix, SaliencyVolume
from handlers.models.action_model import ActionModel
from tests.handlers.evaluation.subjects import saliency, subject

(MEASURE,) = MEASURES
ONCE = ParameterRandomisationParameters(seeds=1, depths=1)


class Explainer:
    """Explains by the engine, and counts how often."""

    def __init__(self, own: Subject) -> None:
        self.own, self.models = own, []

    def __call__(self, method: str, clip: NDArray[np.uint8], model: ActionModel | None = None) -> Attribution:
        self.models.append(model)
        asked = ClipRequest(clip, [MethodCall(method)], self.own.target.index)
        (answer,) = Engine(model or self.own.model).explain([asked])
        found = answer.explained[0].result
        if isinstance(found, RequestError):
            raise found
        return found


def test_complexity_by_hand():
    assert complexity(torch.zeros(5)) == 0
    assert complexity(torch.full((5,), -3.0)) == 0
    # Sizes 0, 0, 1, 1: two bins of a half each.
    assert complexity(torch.tensor([0.0, 0, 2, -2])) == pytest.approx(math.log(2))
    assert complexity(torch.linspace(0, 1, BINS * 50)) == pytest.approx(math.log(BINS), abs=1e-3)
    # From ln 2 to ln 4.
    rise = complexity_rise(torch.tensor([0.0, 1, 0, 1]), torch.tensor([0.0, 0.3, 0.6, 1]))
    assert rise == pytest.approx(1)
    with pytest.raises(LeftOut, match="no complexity"):
        complexity_rise(torch.ones(3), torch.arange(3.0))


def test_similarities_by_hand():
    one = torch.tensor([[1.0, -2], [3, -4]])
    found = similarities(one, -one)
    assert found == {"spearman_abs": pytest.approx(1), "spearman": pytest.approx(-1), "ssim": pytest.approx(1)}
    # Sizes 1 2 3 4 against 2 1 3 4: 1 - 6 * 2 / 60; signed, ranks 2 1 3 0 against 1 2 3 0.
    swapped = torch.tensor([[-2.0, 1], [3, -4]])
    found = similarities(one, swapped)
    assert found["spearman_abs"] == pytest.approx(0.8)
    assert "ssim" not in similarities(one[0], swapped[0])
    assert similarities(one, torch.zeros(2, 2)) == {}


def test_scale_does_not_matter():
    one, other = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    assert similarities(one, other) == pytest.approx(similarities(7 * one, 0.01 * other))
    assert complexity(one) == pytest.approx(complexity(1024 * one))


def test_padding_is_not_compared():
    seen = torch.zeros(12, 16, dtype=torch.bool)
    seen[3:9] = True
    values = torch.arange(4.0)[None, :, None].expand(2, 4, 4)
    # Rows of three pixels each: 0-2 and 9-11 are padding.
    assert without_padding(values, seen)[0, :, 0].tolist() == [1, 2]
    assert without_padding(torch.ones(6, 12, 16), seen).shape == (6, 6, 16)
    assert without_padding(torch.ones(6, 1, 1), torch.zeros(12, 16, dtype=torch.bool)).shape == (6, 1, 1)


def test_what_does_not_read_the_network_fails_and_noise_passes():
    own = subject()
    noise = iter(range(100))

    def fixed(method: str, clip: NDArray[np.uint8], model: ActionModel | None = None) -> Attribution:
        return saliency(torch.from_numpy(clip).float().mean(-1))

    def random(method: str, clip: NDArray[np.uint8], model: ActionModel | None = None) -> Attribution:
        return saliency(torch.rand(6, 12, 16, generator=torch.Generator().manual_seed(next(noise))))

    same = MEASURE.measure(own, "x", fixed, ParameterRandomisationParameters())
    assert same.values["spearman_abs"].number == pytest.approx(1)
    assert same.values["ssim"].number == pytest.approx(1)
    assert same.values["complexity_rise"].number == pytest.approx(0)
    assert all(y == pytest.approx(1) for curve in same.curves for y in curve.y)
    other = MEASURE.measure(own, "x", random, ParameterRandomisationParameters())
    assert abs(other.values["spearman_abs"].number) < 0.1
    assert next(iter(other.values)) == "spearman_abs"
    assert other.values["spearman_abs"].better is Better.LOWER


def test_every_depth_is_explained_by_another_network_and_the_own_one_stays():
    own = subject()
    state = {name: value.clone() for name, value in own.model.module.state_dict().items()}
    explain = Explainer(own)
    parameters = ParameterRandomisationParameters(seeds=2, depths=3)
    found = MEASURE.measure(own, "grad-cam", explain, parameters)
    assert len(explain.models) == MEASURE.forwards(own.model, 6, parameters) == 1 + 2 * 5
    assert explain.models[0] is None
    assert len({id(model) for model in explain.models}) == len(explain.models)
    assert all(torch.equal(value, state[name]) for name, value in own.model.module.state_dict().items())
    assert {curve.name for curve in found.curves} == {
        f"{order}, {name}" for order in ("cascading", "independent") for name in ("spearman_abs", "spearman", "ssim")
    }
    curves = {curve.name: curve for curve in found.curves}
    cascading, independent = curves["cascading, spearman_abs"], curves["independent, spearman_abs"]
    assert cascading.x == (0, 1, 2, 3)
    assert cascading.y[0] == 1
    assert cascading.y[1] == independent.y[1]
    assert cascading.y[3] == pytest.approx(found.values["spearman_abs"].number)
    assert cascading.y[1] == pytest.approx(found.values["head_spearman_abs"].number)
    again = MEASURE.measure(own, "grad-cam", Explainer(own), parameters)
    assert again == found


def test_the_loss_goes_on_from_the_head_or_is_of_one_step_alone():
    own = subject()
    explain = Explainer(own)
    MEASURE.measure(own, "grad-cam", explain, ParameterRandomisationParameters(seeds=1, depths=3))

    def changed(model: ActionModel) -> set[str]:
        parameters = dict(own.model.module.named_parameters())
        return {name for name, own in model.module.named_parameters() if not torch.equal(own, parameters[name])}

    one, two, second, three, third = map(changed, explain.models[1:])
    last = [name for name, _ in own.model.module.named_parameters()][-2:]
    assert one == set(last)
    assert one < two < three
    assert (second, third) == (two - one, three - two)


def test_the_cheap_form_has_one_network():
    own = subject()
    explain = Explainer(own)
    found = MEASURE.measure(own, "dtd", explain, ONCE)
    assert len(explain.models) == MEASURE.forwards(own.model, 6, ONCE) == 2
    assert set(found.values) == {"spearman_abs", "spearman", "ssim", "complexity_rise"}
    assert {curve.name for curve in found.curves} == {f"cascading, {n}" for n in ("spearman_abs", "spearman", "ssim")}


@pytest.mark.parametrize(
    ("shown", "kinds"),
    [
        (FrameAttribution(torch.arange(6.0)), {"spearman_abs", "spearman", "complexity_rise"}),
        (
            RelevanceMatrix(torch.rand(6, 6), (0.0,) * 6, torch.ones(6), (1,) * 6, 1.0, 1.0),
            {"spearman_abs", "spearman", "ssim", "complexity_rise"},
        ),
    ],
)
def test_explanations_of_frames_are_compared_too(shown: Attribution, kinds: set[str]):
    found = MEASURE.measure(subject(), "x", lambda *_: shown, ONCE)
    assert set(found.values) == kinds
    assert set(found.left_out) == {"spearman_abs", "spearman", "ssim", "complexity_rise"} - kinds


def test_what_cannot_be_compared_is_left_out():
    with pytest.raises(LeftOut, match="with all weights random: an explanation is constant"):
        MEASURE.measure(subject(), "x", lambda *_: saliency(torch.ones(6, 12, 16)), ONCE)

    def refuses(method: str, clip: NDArray[np.uint8], model: ActionModel | None = None) -> Attribution:
        if model is not None:
            raise RequestError("no row has a positive logit", reason="X")
        return saliency(torch.rand(6, 12, 16))

    with pytest.raises(LeftOut, match="no row has a positive logit"):
        MEASURE.measure(subject(), "x", refuses, ONCE)
    undefined = SaliencyVolume(torch.ones(1, 2, 2), (0.0,), undefined="nothing speaks for the class")
    with pytest.raises(LeftOut, match="nothing speaks"):
        MEASURE.measure(subject(), "x", lambda *_: undefined, ONCE)
