"""Swish and sigmoid gates: relevance takes them for constants, gradients go through both factors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from handlers.relevance import Rules, relevance, temporal_relevance, trace
from handlers.relevance.temporal.cost_model import CostModel
from tests.handlers.relevance.networks import clip


class Gated(nn.Module):
    """Swish, and a gate that the whole clip sets; linear but for them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(3, 4, (3, 3, 3), padding=1, bias=False)
        self.swish = nn.SiLU()
        self.inner, self.sigmoid = nn.Conv3d(4, 4, 1), nn.Sigmoid()
        self.fc = nn.Linear(4, 3, bias=False)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.first(x)
        z = y * torch.sigmoid(y)
        return torch.sigmoid(y), torch.sigmoid(self.inner(z.mean((2, 3, 4), keepdim=True)))

    def forward(self, x: Tensor) -> Tensor:
        y = self.swish(self.first(x))
        y = y * self.sigmoid(self.inner(y.mean((2, 3, 4), keepdim=True)))
        return self.fc(y.mean((2, 3, 4)))


class Frozen(nn.Module):
    """The same with the gates of one clip as fixed weights of the classifier's inputs, to be averaged plainly."""

    def __init__(self, gated: Gated, clip: Tensor) -> None:
        super().__init__()
        self.gated = gated
        with torch.no_grad():
            self.gates = [part.clone() for part in gated.parts(clip)]

    def forward(self, x: Tensor) -> Tensor:
        y = self.gated.first(x) * self.gates[0] * self.gates[1]
        return self.gated.fc(y.mean((2, 3, 4)))


def test_relevance_takes_gates_for_constants_and_is_conserved() -> None:
    torch.manual_seed(0)
    network = Gated().double().eval()
    # All products positive: z+ is then x times the gradient of the network whose gates are fixed.
    for name in ("first", "fc"):
        layer = network.get_submodule(name)
        layer.weight.data = layer.weight.data.abs()
    x = clip(1, 5, 6).abs()
    forward = trace(network, Rules()).forward(x)
    found = relevance(forward, 1)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(Frozen(network, x)(leaf)[:, 1].sum(), leaf)
    torch.testing.assert_close(found.values, x * slope, rtol=1e-9, atol=1e-12)
    assert float(found.defect.abs().max()) < 1e-9
    cut = CostModel(forward).cuts()[-1]
    assert cut >= 4  # above both gates
    rows = temporal_relevance(forward, 1, meeting=cut)
    torch.testing.assert_close(rows.values, temporal_relevance(forward, 1, meeting=0).values, rtol=1e-9, atol=1e-12)
    assert rows.anchors == (0, 1, 2, 3, 4)


def test_gradients_go_through_signal_and_gate() -> None:
    torch.manual_seed(0)
    network = Gated().double().eval()
    x = clip(2, 5, 6)
    leaf = x.clone().requires_grad_()
    weights = torch.randn(2, 3, dtype=torch.float64)
    (slope,) = torch.autograd.grad(network(leaf), leaf, weights)
    torch.testing.assert_close(trace(network).forward(x).gradient("", weights), slope, rtol=1e-9, atol=1e-12)
