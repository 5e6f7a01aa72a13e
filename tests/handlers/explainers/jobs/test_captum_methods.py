"""Methods through Captum: what Captum gives on the untouched network, cut into blocks or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from actionlens.card import Input
from handlers.engine.block import advance
from handlers.engine.description import describe
from handlers.engine.engine import ClipRequest, Engine, MethodCall
from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, FrameAttribution
from handlers.models.action_model import ActionModel
from handlers.relevance import bounds_of_pixels
from tests.handlers import networks

CLIP = networks.clip(3)
TARGET, CONTRAST = 2, 0


@pytest.fixture(scope="module")
def model() -> ActionModel:
    return networks.model(arguments={"channels": [4, 6], "hidden": [5]})


def network(clips: Tensor) -> Tensor:
    """The lead of TARGET over CONTRAST, by the module that the model was made of."""
    made = networks.module(networks.card(arguments={"channels": [4, 6], "hidden": [5]})).eval()
    logits: Tensor = made(clips)
    return logits[:, TARGET] - logits[:, CONTRAST]


def explained(model: ActionModel, name: str, seconds: float = 1e9, seed: int = 0, **parameters: Any) -> Attribution:
    """A method's result, from blocks of `seconds`; its state goes through bytes between them."""
    call = MethodCall(name, parameters)
    request = ClipRequest(CLIP, [call], target=TARGET, contrast=CONTRAST)
    state, done = b"", False
    while not done:
        block = advance(Engine(model), request, state, seconds, seed, result=True)
        state, done = block.state.to_bytes(), block.state.done
    assert block.result is not None
    assert block.state.iteration == block.state.iterations
    return block.result


def grey(model: ActionModel) -> Tensor:
    return model.prepare([CLIP * 0 + 128])


def normalisation(model: ActionModel) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return model.card.input.mean, model.card.input.std


def test_integrated_gradients_are_captums(model: ActionModel) -> None:
    clip = model.prepare([CLIP])
    expected = captum.attr.IntegratedGradients(network).attribute(clip, baselines=grey(model), n_steps=9)
    found = explained(model, "integrated-gradients", steps=9)
    torch.testing.assert_close(found.values, expected[0].sum(0), rtol=1e-4, atol=1e-7)
    gap = float((network(clip) - network(grey(model))).detach())
    assert found.details.measures["convergence_delta"] == pytest.approx(float(found.values.sum()) - gap, abs=1e-6)


@pytest.mark.parametrize(("frames", "pixels"), [(3, 5), (1, 4), (6, 12)])
def test_occlusion_is_captums(model: ActionModel, frames: int, pixels: int) -> None:
    steps = (max(1, frames // 2), max(1, pixels // 2), max(1, pixels // 2))
    expected = captum.attr.Occlusion(network).attribute(
        model.prepare([CLIP]), (3, frames, pixels, pixels), (3, *steps), baselines=grey(model)
    )
    found = explained(model, "occlusion", frames=frames, pixels=pixels)
    torch.testing.assert_close(found.values, expected[0, 0], rtol=1e-4, atol=1e-6)


def test_gradient_shap_is_captums_mean_over_seeded_samples(model: ActionModel) -> None:
    low, high = (torch.tensor(side).reshape(1, 3, 1, 1, 1) for side in bounds_of_pixels(*normalisation(model)))
    captum_ = captum.attr.GradientShap(lambda scaled: network(scaled * (high - low) + low))
    expected, alphas = torch.zeros(CLIP.shape[:3]), []
    for sample in range(4):
        own = int(np.random.SeedSequence((7, sample)).generate_state(1)[0])
        torch.manual_seed(own)
        np.random.seed(own)
        clip, nothing = ((x - low) / (high - low) for x in (model.prepare([CLIP]), grey(model)))
        found = captum_.attribute(clip, baselines=nothing, n_samples=1, stdevs=0.1)
        expected += found[0].sum(0) / 4
        alphas.append(np.random.uniform())
    found = explained(model, "gradient-shap", seed=7, samples=4, noise=0.1)
    torch.testing.assert_close(found.values, expected, rtol=1e-3, atol=1e-6)
    assert len(set(alphas)) == 4
    assert not torch.equal(explained(model, "gradient-shap", seed=8, samples=4, noise=0.1).values, found.values)


def test_gradient_shap_leaves_the_generators_as_they_were(model: ActionModel) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    expected = torch.rand(()).item(), np.random.random()
    torch.manual_seed(1)
    np.random.seed(1)
    explained(model, "gradient-shap", samples=1)
    assert (torch.rand(()).item(), np.random.random()) == expected


def test_shapley_sampling_is_captums_over_the_same_orders(model: ActionModel) -> None:
    clip, nothing = model.prepare([CLIP]).contiguous(), grey(model)
    sampler = captum.attr.ShapleyValueSampling(network)
    sampler.permutation_generator = lambda elements, samples: [
        np.random.default_rng((7, sample)).permutation(elements).tolist() for sample in range(samples)
    ]
    frames = torch.arange(6).reshape(1, 1, 6, 1, 1).expand(clip.shape).contiguous()
    expected = sampler.attribute(clip, nothing, feature_mask=frames, n_samples=3)[0, 0, :, 0, 0]
    found = explained(model, "shapley-sampling", seed=7, samples=3)
    assert isinstance(found, FrameAttribution)
    torch.testing.assert_close(found.values, expected, rtol=1e-4, atol=1e-6)
    assert found.details.measures["convergence_delta"] == pytest.approx(0, abs=1e-5)
    assert not torch.equal(explained(model, "shapley-sampling", seed=8, samples=3).values, found.values)


def test_deep_lift_is_captums_on_the_untouched_network(model: ActionModel) -> None:
    made = networks.module(networks.card(arguments={"channels": [4, 6], "hidden": [5]})).eval()
    clip, nothing = model.prepare([CLIP]).requires_grad_(), grey(model).requires_grad_()
    lift = captum.attr.DeepLift(made)
    with pytest.warns(UserWarning, match="Setting forward, backward hooks"):
        target, contrast = (lift.attribute(clip, nothing, target=index) for index in (TARGET, CONTRAST))
    found = explained(model, "deep-lift")
    torch.testing.assert_close(found.values, (target - contrast)[0].sum(0).detach(), rtol=1e-4, atol=1e-7)
    assert all(not part._forward_pre_hooks and not part._forward_hooks for part in model.module.modules())


def test_deep_lift_works_on_rectifiers_in_place() -> None:
    arguments = {"width": 2}
    size = Input(frames=3, height=32, width=32, mean=(0.5,) * 3, std=(0.25,) * 3)
    model = networks.model(architecture="motion-cnn", arguments=arguments, layer="features", input=size)
    request = ClipRequest(networks.clip(0, 3, 32, 32), [MethodCall("deep-lift")], target=1)
    block = advance(Engine(model), request, b"", 0.0, 0, result=True)
    assert block.result is not None
    assert float(block.result.values.abs().sum()) > 0
    assert block.result.details.measures["convergence_delta"] == pytest.approx(0, abs=1e-4)
    assert all(part.inplace for part in model.module.modules() if isinstance(part, nn.ReLU))


class Functional(nn.Module):
    """Calls what Captum has no rule for."""

    def __init__(self, twice: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv3d(3, 4, 3, padding=1), nn.Conv3d(4, 4, 3, padding=1)
        self.relu2, self.twice, self.fc = nn.ReLU(), twice, nn.Linear(4, 3)

    def forward(self, clip: Tensor) -> Tensor:
        first = self.first(clip)
        first = self.relu2(first) if self.twice else torch.relu(first)
        logits: Tensor = self.fc(self.relu2(self.second(first)).mean((2, 3, 4)))
        return logits


@pytest.mark.parametrize(("twice", "reason"), [(False, "relu is not one of the modules"), (True, "more than once")])
def test_deep_lift_refuses_what_captum_would_get_wrong(twice: bool, reason: str) -> None:
    model = ActionModel(networks.card(), Functional(twice).eval())
    with pytest.raises(RequestError, match=reason) as caught:
        explained(model, "deep-lift")
    assert caught.value.reason == "METHOD_UNSUPPORTED"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("integrated-gradients", {"steps": 4}),
        ("occlusion", {"frames": 4, "pixels": 6, "baseline": "blur"}),
        ("gradient-shap", {"samples": 3, "baseline": "black"}),
        ("shapley-sampling", {"samples": 3}),
    ],
)
def test_cut_into_blocks_is_the_same_to_the_bit(model: ActionModel, name: str, parameters: Mapping[str, Any]) -> None:
    assert torch.equal(
        explained(model, name, 0.0, **parameters).values, explained(model, name, 1e9, **parameters).values
    )


def test_what_fits_the_models_clips_is_told_beforehand(model: ActionModel) -> None:
    """So that a job of thousands of clips is refused, and does not fail clip by clip."""
    (occlusion,) = (entry for entry in describe(model).methods if entry.method == "occlusion")
    largest = {entry.name: entry.maximum for entry in occlusion.parameters if entry.HasField("maximum")}
    size = model.card.input
    assert largest == {"frames": max(size.frames, model.most_frames), "pixels": min(size.height, size.width)}


@pytest.mark.parametrize(
    ("name", "parameters", "field"),
    [
        ("occlusion", {"frames": 7}, "frames"),
        ("occlusion", {"pixels": 13}, "pixels"),
        ("occlusion", {"baseline": "pink"}, "baseline"),
        ("integrated-gradients", {"steps": 0}, "steps"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(
    model: ActionModel, name: str, parameters: Mapping[str, Any], field: str
) -> None:
    with pytest.raises(RequestError) as caught:
        explained(model, name, **parameters)
    assert caught.value.field == field
