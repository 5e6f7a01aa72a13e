"""Methods through Captum: what Captum gives on the untouched network, cut into blocks or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import captum.attr
import pytest
import torch
from torch import Tensor

from handlers.attribution import Attribution
from handlers.block import advance
from handlers.engine import ClipRequest, Engine, MethodCall
from handlers.errors import RequestError
from handlers.models.action_model import ActionModel
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


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("integrated-gradients", {"steps": 4}), ("occlusion", {"frames": 4, "pixels": 6, "baseline": "blur"})],
)
def test_cut_into_blocks_is_the_same_to_the_bit(model: ActionModel, name: str, parameters: Mapping[str, Any]) -> None:
    assert torch.equal(
        explained(model, name, 0.0, **parameters).values, explained(model, name, 1e9, **parameters).values
    )


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
