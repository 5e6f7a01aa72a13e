"""Grad-CAM against autograd through the untouched network, and by hand on a linear head."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from handlers.explainers.attribution import SaliencyVolume, Target
from handlers.explainers.live.grad_cam import EXPLAINER, GradCamParameters, grad_cam
from tests.handlers import networks


def by_hooks(network: nn.Module, layer: str, clips: Tensor, classes: list[int]) -> tuple[Tensor, Tensor]:
    """Activation and gradient of a layer as a user of plain PyTorch would get them."""
    kept: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_hook(lambda _m, _i, out: kept.append(out))
    logits = network(clips.requires_grad_())
    handle.remove()
    score = logits[torch.arange(len(classes)), classes].sum()
    (gradient,) = torch.autograd.grad(score, kept[0])
    return kept[0].detach(), gradient


@pytest.mark.parametrize("layer", ["conv1", "relu1", "relu2"])
@pytest.mark.parametrize("pool_time", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_equals_gradients_of_the_untouched_network(layer: str, pool_time: bool, signed: bool) -> None:
    made = networks.card(arguments={"channels": [4, 6], "hidden": [5]})
    model = networks.model(arguments={"channels": [4, 6], "hidden": [5]})
    clips = model.prepare([networks.clip(1), networks.clip(2)])
    forward = model.program.forward(clips, [layer], relevance=False)
    parameters = GradCamParameters(layer=layer, pool_time=pool_time, signed=signed)
    results = EXPLAINER.attribute(model, forward, [(0, Target(2)), (1, Target(0))], parameters)

    activation, gradient = by_hooks(networks.module(made).eval(), layer, clips.clone(), [2, 0])
    for index, result in enumerate(results):
        expected = torch.zeros(activation.shape[2:])
        for k in range(activation.shape[1]):
            for t in range(activation.shape[2]):
                weight = gradient[index, k].mean() if pool_time else gradient[index, k, t].mean()
                expected[t] += weight * activation[index, k, t]
        assert isinstance(result, SaliencyVolume)
        torch.testing.assert_close(result.values, expected if signed else expected.clamp(min=0), rtol=1e-4, atol=1e-7)


def test_is_closed_form_for_an_average_and_a_linear_layer() -> None:
    model = networks.model()
    forward = model.program.forward(model.prepare([networks.clip()]), ["relu2"], relevance=False)
    (result,) = EXPLAINER.attribute(model, forward, [(0, Target(1))], GradCamParameters(signed=True))
    weight = networks.module(networks.card()).state_dict()["fc1.weight"][1]
    activation = forward.activation("relu2")[0]
    expected = torch.einsum("k,kthw->thw", weight, activation) / activation[0].numel()
    assert isinstance(result, SaliencyVolume)
    torch.testing.assert_close(result.values, expected)


def test_a_contrast_explains_the_difference_of_logits() -> None:
    model = networks.model()
    forward = model.program.forward(model.prepare([networks.clip()]), ["relu2"], relevance=False)
    parameters = GradCamParameters(signed=True)
    one, other, both = (
        EXPLAINER.attribute(model, forward, [(0, target)], parameters)[0]
        for target in (Target(0), Target(2), Target(0, 2))
    )
    torch.testing.assert_close(both.values, one.values - other.values)


def test_one_clip_may_be_asked_about_twice() -> None:
    model = networks.model()
    forward = model.program.forward(model.prepare([networks.clip(1), networks.clip(2)]), ["relu2"], relevance=False)
    items = [(0, Target(0)), (1, Target(1)), (0, Target(2))]
    together = EXPLAINER.attribute(model, forward, items, GradCamParameters())
    for item, result in zip(items, together, strict=True):
        (alone,) = EXPLAINER.attribute(model, forward, [item], GradCamParameters())
        torch.testing.assert_close(result.values, alone.values)


def test_the_relu_drops_evidence_against_the_class() -> None:
    activation = torch.tensor([1.0, 2.0]).reshape(1, 1, 1, 1, 2)
    assert grad_cam(activation, -torch.ones_like(activation)).tolist() == [[[[0.0, 0.0]]]]
    assert grad_cam(activation, -torch.ones_like(activation), signed=True).tolist() == [[[[-1.0, -2.0]]]]


@pytest.mark.parametrize(
    ("layer", "expected"), [("relu1", (0, 1, 2, 3, 4, 5)), ("pool1", (0.5, 2.5, 4.5)), ("average", (2.5,))]
)
def test_steps_lie_at_the_centre_of_what_they_see(layer: str, expected: tuple[float, ...]) -> None:
    assert networks.model().frame_positions(layer, 6, len(expected)) == expected
