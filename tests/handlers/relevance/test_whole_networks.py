"""Whole networks against zennit, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from handlers.relevance import AddRule, AlphaBeta, Gamma, NormRule, Rules, relevance, trace
from tests.handlers.relevance import oracle
from tests.handlers.relevance.networks import ALL, Flattened, Net, Normed, Plain, Residual, Signed, clip, pair

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


@pytest.mark.parametrize("kind", [Plain, Normed, Flattened])
def test_module_and_functional_versions_are_identical(kind: type[Net]) -> None:
    net, twin = pair(kind)
    first, second = (relevance(trace(n, Rules(**BOX)).forward(clip()), 2).values for n in (net, twin))
    assert torch.allclose(first, second, rtol=1e-12, atol=1e-15)


def test_positive_add_shares_nothing_with_negative_branches() -> None:
    net, _ = pair(Residual)
    x = clip()
    found = [relevance(trace(net, Rules(add=rule, **BOX)).forward(x), 1) for rule in AddRule]
    assert difference(found[0].values, found[1].values) > 1e-3
    assert float(found[1].values.abs().sum()) < float(found[0].values.abs().sum())


def test_folding_batch_norm_is_another_rule() -> None:
    net, _ = pair(Normed)
    x = clip()
    identity, fold = (relevance(trace(net, Rules(norm=rule, **BOX)).forward(x), 1).values for rule in NormRule)
    assert difference(identity, fold) > 1e-3
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.weight.data.abs_()
    identity, fold = (relevance(trace(net, Rules(norm=rule, **BOX)).forward(x), 1).values for rule in NormRule)
    assert difference(identity, fold) < 1e-9


def test_relevance_at_a_layer_is_that_of_the_network_above_it() -> None:
    torch.manual_seed(2)
    below = nn.Sequential(nn.Conv3d(3, 5, 3, 1, 1), nn.ReLU()).double().eval()
    above = nn.Sequential(nn.Conv3d(5, 6, 3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, 4))
    above = above.double().eval()
    x = clip()
    at_layer = relevance(trace(nn.Sequential(below, above).eval(), Rules(**BOX)).forward(x), 1, layer="0")
    alone = relevance(trace(above).forward(below(x).detach()), 1)
    assert torch.allclose(at_layer.values, alone.values, rtol=1e-10, atol=1e-14)
    assert torch.allclose(at_layer.defect, alone.defect, atol=1e-12)
