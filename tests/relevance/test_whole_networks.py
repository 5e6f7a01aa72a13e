"""Whole networks against zennit, in float64."""

from __future__ import annotations

import pytest
import torch

from handlers.relevance import AlphaBeta, Gamma, Rules, relevance, trace
from tests.relevance import oracle
from tests.relevance.networks import ALL, Net, Residual, Signed, clip, pair

BOX = {"low": (-2.0, -2.1, -2.2), "high": (2.0, 2.1, 2.2)}


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("kind", ALL)
def test_equals_zennit(kind: type[Net], bounded: bool) -> None:
    net, twin = pair(kind)
    rules = Rules(**BOX) if bounded else Rules()
    x = clip()
    forward = trace(net, rules).forward(x)
    assert torch.allclose(forward.logits, twin(x), atol=1e-12)
    for target in (0, 3):
        start = torch.zeros_like(forward.logits)
        start[:, target] = forward.logits[:, target]
        expected = oracle.relevance(twin, x, start, rules)
        assert difference(relevance(forward, target).values, expected) < 1e-9


@pytest.mark.parametrize("rule", [AlphaBeta(2, 1), AlphaBeta(1, 0), Gamma(0.25)])
@pytest.mark.parametrize("kind", [Residual, Signed])
def test_other_convolution_rules_equal_zennit(kind: type[Net], rule: AlphaBeta | Gamma) -> None:
    net, twin = pair(kind, seed=3)
    rules = Rules(convolution=rule, **BOX)
    x = clip()
    forward = trace(net, rules).forward(x)
    start = forward.logits * torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    assert difference(relevance(forward, 1).values, oracle.relevance(twin, x, start, rules)) < 1e-9


def test_module_and_functional_versions_are_identical() -> None:
    for kind in ALL:
        net, twin = pair(kind)
        if kind.__name__ in ("Residual", "Branches", "PreNorm"):
            continue  # the oracle's stacked sums have no traced form
        first, second = (relevance(trace(n, Rules(**BOX)).forward(clip()), 2).values for n in (net, twin))
        assert torch.equal(first, second)
