"""Networks with random weights: which layers, in which order, and that the given network stays as it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from handlers.evaluation.common.randomised_networks import (
    in_depths,
    layers_from_head,
    shuffled_weights,
    with_weights,
)
from tests.handlers.evaluation.frame_networks import relational
from tests.handlers.networks import clip, model


class Nested(nn.Module):
    """Runs `late` last, though it is declared first; `held` is used without being called."""

    def __init__(self) -> None:
        super().__init__()
        self.late = nn.Linear(3, 2)
        self.body = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3))
        self.held = nn.Linear(3, 3)
        self.twin = nn.Linear(3, 3)
        self.twin.weight = self.held.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x) @ self.held.weight.T
        return self.late(self.twin(x))


def test_layers_come_in_the_order_in_which_they_run():
    # `held` is not called: it counts where the whole module is, at the far end.
    assert layers_from_head(Nested(), torch.zeros(1, 4)) == ["late", "twin", "body.2", "body.0", "held"]


def test_depths_begin_with_the_head_alone():
    layers = list("abcdef")
    assert in_depths(layers, 1) == [layers]
    assert in_depths(layers, 3) == [["a"], ["b", "c"], ["d", "e", "f"]]
    assert in_depths(layers, 99) == [[layer] for layer in layers]
    assert in_depths(["a"], 4) == [["a"]]


def test_weights_are_the_same_values_elsewhere():
    module = Nested()
    found = shuffled_weights(module, ["twin", "held", "body.0"], torch.Generator().manual_seed(0))
    assert set(found) == {"twin.weight", "twin.bias", "held.bias", "body.0.weight", "body.0.bias"}
    for name, values in found.items():
        old = module.get_parameter(name)
        assert values.shape == old.shape
        torch.testing.assert_close(values.flatten().sort().values, old.flatten().sort().values)
    assert not torch.equal(found["body.0.weight"], module.body[0].weight)
    again = shuffled_weights(module, ["twin", "held", "body.0"], torch.Generator().manual_seed(0))
    assert all(torch.equal(again[name], values) for name, values in found.items())


@pytest.mark.parametrize("made", [model, relational])
@torch.inference_mode()
def test_another_network_answers_and_the_given_one_stays(made: object):
    own = made()
    clips = own.prepare([clip()])
    before = own.program.forward(clips).logits.clone()
    state = {name: value.clone() for name, value in own.module.state_dict().items()}
    layers = layers_from_head(own.module, clips)
    weights = shuffled_weights(own.module, layers, torch.Generator().manual_seed(1))
    other = with_weights(own, weights)
    assert all(torch.equal(value, state[name]) for name, value in own.module.state_dict().items())
    torch.testing.assert_close(own.program.forward(clips).logits, before)
    assert not torch.allclose(other.program.forward(clips).logits, before)
    torch.testing.assert_close(other.program.forward(clips).logits, other.module(clips))
    same = with_weights(own, {})
    torch.testing.assert_close(same.program.forward(clips).logits, before)
    assert layers[0] == [name for name, part in own.module.named_modules() if isinstance(part, nn.Linear)][-1]
