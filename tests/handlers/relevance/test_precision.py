"""Relevance in bfloat16 stays within the tolerance that the module states; what cancels is never reduced."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from handlers.relevance import (
    AlphaBeta,
    ForwardPass,
    Precision,
    Program,
    Rules,
    guided_backprop,
    precision,
    relevance,
    temporal_relevance,
    trace,
)
from tests.handlers.relevance.networks import Branches, Net, Normed, Residual, clip, pair

BOX = Rules(low=(-2.0, -2.1, -2.2), high=(2.0, 2.1, 2.2))


def programs(kind: type[Net], rules: Rules = BOX) -> tuple[Program, Program]:
    """(float32, bfloat16) of one network with batch norms of positive gamma, as trained networks have them."""
    net, _ = pair(kind, seed=3)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.weight.data.abs_()
    net.float()
    return trace(net, rules), trace(net, rules, "bfloat16")


def passes(kind: type[Net], rules: Rules = BOX) -> tuple[ForwardPass, ForwardPass]:
    whole, half = programs(kind, rules)
    x = clip(1, 8).float()
    return whole.forward(x), half.forward(x)


def far(a: Tensor, b: Tensor) -> float:
    """Relative difference in the L2 norm."""
    return float((a - b).norm() / b.norm())


def ranks(a: Tensor, b: Tensor) -> float:
    """Spearman's rank correlation."""
    orders = torch.stack([t.flatten().argsort().argsort().double() for t in (a, b)])
    return float(torch.corrcoef(orders)[0, 1])


@pytest.mark.parametrize("kind", [Normed, Residual, Branches])
def test_maps_and_matrices_are_within_the_stated_tolerance(kind: type[Net]) -> None:
    whole, half = passes(kind)
    expected, found = relevance(whole, 1), relevance(half, 1)
    assert found.values.dtype is torch.float32
    assert 0 < far(found.values, expected.values) < 0.01
    assert ranks(found.values, expected.values) > 0.999
    assert float(found.defect[0]) == pytest.approx(float(expected.defect[0]), abs=0.01)
    for meeting in (0, None):
        rows, exact = (temporal_relevance(p, 1, meeting=meeting).values for p in (half, whole))
        assert 0 < far(rows, exact) < 0.01


def test_the_prediction_and_gradients_are_not_reduced() -> None:
    whole, half = passes(Residual)
    assert torch.equal(whole.logits, half.logits)
    assert torch.equal(guided_backprop(whole, 1), guided_backprop(half, 1))


def test_what_cancels_is_computed_in_float32() -> None:
    whole, half = passes(Residual)
    relevance(half, 1)  # leaves reduced denominators behind, which must not be taken here
    temporal_relevance(half, 1)
    for contrast in (0, "negated"):
        assert torch.equal(relevance(half, 1, contrast).values, relevance(whole, 1, contrast).values)
        found, expected = (temporal_relevance(p, 1, contrast).values for p in (half, whole))
        assert torch.equal(found, expected)
    whole, half = passes(Residual, Rules(convolution=AlphaBeta(2, 1)))
    assert torch.equal(relevance(half, 1).values, relevance(whole, 1).values)


@pytest.mark.parametrize("native", [True, False])
def test_auto_asks_the_device(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: native)
    net, _ = pair(Normed)
    program = trace(net.float(), BOX, "auto")
    assert program.forward(clip(1).float()).reduced is (torch.bfloat16 if native else None)
    assert trace(net, BOX).forward(clip(1).float()).reduced is None


def test_a_batch_and_its_singles_agree_on_the_precision() -> None:
    _, half = programs(Normed)
    x = clip(2).float()
    assert half.forward(x).single(1).reduced is torch.bfloat16
    assert trace(pair(Normed)[0], BOX, Precision.BFLOAT16).forward(clip(1)).reduced is None  # float64 stays exact


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="float8"):
        trace(pair(Normed)[0], BOX, "float8")
