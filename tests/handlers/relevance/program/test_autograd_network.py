"""Networks that run as they are: logits, layers and gradients are the module's own, from many threads at once."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor, nn

from handlers.relevance import BadClip, NoFrameLogits, NotKept, PlainNetwork, Rules, UnknownLayer, relevance
from handlers.relevance.program import autograd_bridge as differentiable
from tests.waiting import PATIENCE


class Recurrent(nn.Module):
    """A network that tracing refuses: an LSTM, GELU, layer norm; a rectifier that writes into the layer before it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.twice = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.classifier = nn.Linear(5, 3)

    def forward(self, clip: Tensor) -> Tensor:
        features = self.relu(self.convolution(clip)).mean((3, 4)).transpose(1, 2)
        states, _ = self.lstm(self.norm(nn.functional.gelu(self.twice(self.twice(features)))))
        return self.classifier(states[:, -1])


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return Recurrent().double().eval()


def network(module: nn.Module) -> PlainNetwork:
    return PlainNetwork(module, Rules(), "lstm: no relevance rule for LSTM", clip(1))


def clip(batch: int = 2, frames: int = 5, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((batch, 3, frames, 6, 7), generator=generator, dtype=torch.float64)


def test_layers_are_those_that_put_out_a_tensor_in_the_order_of_execution(module: nn.Module) -> None:
    assert network(module).layers == ("convolution", "relu", "twice", "norm", "classifier")


@pytest.mark.parametrize("layer", ["convolution", "relu", "norm", "classifier", ""])
def test_logits_activations_and_gradients_are_the_modules(module: nn.Module, layer: str) -> None:
    x = clip()
    kept: list[Tensor] = [x.requires_grad_()]
    if layer:
        # The rectifier writes into the convolution's output: what is kept is what the convolution put out.
        module.get_submodule(layer).register_forward_hook(lambda _, __, output: kept.append(output) or output.clone())
    expected = module(x)
    weights = torch.randn_like(expected)
    (slope,) = torch.autograd.grad(expected, kept[-1], weights)
    with torch.inference_mode():
        given = clip()
        found = network(module).forward(given, [layer] if layer else [], relevance=not layer)
        torch.testing.assert_close(found.logits, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.activation(layer), kept[-1], rtol=1e-12, atol=1e-12)
        for _ in range(2):
            torch.testing.assert_close(found.gradient(layer, weights), slope, rtol=1e-10, atol=1e-12)


def test_two_layers_are_kept_by_one_forward(module: nn.Module) -> None:
    plain = network(module)
    alone = [plain.forward(clip(), [layer]) for layer in ("relu", "norm")]
    both = plain.forward(clip(), ["relu", "norm"])
    weights = torch.eye(3, dtype=torch.float64)[[0, 2]]
    for layer, one in zip(("relu", "norm"), alone, strict=True):
        torch.testing.assert_close(both.gradient(layer, weights), one.gradient(layer, weights))


def test_the_module_is_left_alone_and_threads_do_not_see_each_other(module: nn.Module) -> None:
    before = {name: value.clone() for name, value in module.state_dict().items()}
    plain = network(module)
    weights = torch.eye(3, dtype=torch.float64)[[1]]
    asked = [(("relu", "norm")[i % 2], clip(1, seed=i)) for i in range(8)]
    expected = [plain.forward(x, [layer]).gradient(layer, weights) for layer, x in asked]
    found: dict[int, Tensor] = {}

    def ask(number: int) -> None:
        layer, x = asked[number]
        for _ in range(5):
            found[number] = plain.forward(x, [layer]).gradient(layer, weights)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert all(torch.equal(found[number], expected[number]) for number in range(8))
    assert all(not part._forward_hooks for part in module.modules())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    with torch.no_grad():
        module.classifier.bias.fill_(7.0)  # its memory is shared, as a program's is
    assert float(plain.forward(clip(1)).logits.mean()) > 5


def test_other_libraries_take_gradients_of_it(module: nn.Module) -> None:
    x = clip().requires_grad_()
    (expected,) = torch.autograd.grad(module(x)[:, 1].sum(), x)
    again = clip().requires_grad_()
    (found,) = torch.autograd.grad(differentiable.logits(network(module), again)[:, 1].sum(), again)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_what_it_cannot_do_is_refused_with_the_reason(module: nn.Module) -> None:
    plain = network(module)
    found = plain.forward(clip(), ["relu"], relevance=False)
    with pytest.raises(NotKept, match="without a relevance rule"):
        relevance(found, 0)
    with pytest.raises(NotKept, match="relevance=True"):
        found.gradient("", torch.zeros_like(found.logits))
    with pytest.raises(NotKept, match="'norm' was not kept"):
        found.gradient("norm", torch.zeros_like(found.logits))
    with pytest.raises(UnknownLayer, match="'lstm'"):
        plain.forward(clip(), ["lstm"])
    with pytest.raises(NoFrameLogits, match="run as it is"):
        _ = found.frame_logits
    with pytest.raises(BadClip, match="clip: expected"):
        plain.forward(clip()[0])
    with pytest.raises(BadClip, match="does not fit the model at Recurrent"):
        plain.forward(clip()[:, :2])
    with pytest.raises(BadClip, match=r"where logits \[B, K\] are expected"):
        PlainNetwork(nn.Conv3d(3, 4, 1).double().eval(), Rules(), "", clip())


@pytest.mark.parametrize(("steps", "expected"), [(5, (0, 1, 2, 3, 4)), (2, (0.75, 3.25)), (1, (2.0,))])
def test_steps_lie_in_the_middles_of_equal_parts(module: nn.Module, steps: int, expected: tuple[float, ...]) -> None:
    assert network(module).frame_centres("relu", 5, steps) == expected
