"""Temporal relevance against one plain pass per frame, for every place where rows and frames can meet."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from handlers.relevance import (
    AlphaBeta,
    ForwardPass,
    Gamma,
    MemoryLimitExceeded,
    NoFrameLogits,
    RelevanceError,
    Rules,
    relevance,
    temporal_relevance,
    trace,
)
from handlers.relevance.operations.base import AS_TRACED
from handlers.relevance.temporal.cost_model import CostModel
from tests.handlers.relevance import oracle
from tests.handlers.relevance.networks import (
    FRAMED,
    Cropped,
    Flattened,
    Net,
    Normed,
    Plain,
    PreNorm,
    Residual,
    Shifted,
    TwoSpeed,
    clip,
    pair,
)

BOX = Rules(low=(-2.0, -2.1, -2.2), high=(2.0, 2.1, 2.2))


class PerFrame(nn.Module):
    """A network that puts out its logits per time step, [B, T' * K], so that one row is one ordinary start."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        self.pool = nn.AdaptiveAvgPool3d((None, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.net, TwoSpeed):
            return self.net.by_step(x)
        self.net.head = lambda y: self.net.fc(self.pool(y).flatten(2).transpose(1, 2))
        return self.net(x)


def naive(
    net: nn.Module, x: Tensor, target: int, rules: Rules, rectify: bool = False, contrast: int | None = None
) -> Tensor:
    """[B, T', N] by one pass of zennit for every time step (two for a contrast)."""
    framed = PerFrame(net)
    logits = framed(x).detach()
    rows = []
    for row in range(logits.shape[1]):
        start = torch.zeros_like(logits)
        start[:, row, target] = logits[:, row, target]
        values = oracle.relevance(framed, x, start, rules)
        if contrast is not None:
            start = torch.zeros_like(logits)
            start[:, row, contrast] = logits[:, row, contrast]
            values = values - oracle.relevance(framed, x, start, rules)
        rows.append((values.clamp(min=0) if rectify else values).sum((1, 3, 4)))
    return torch.stack(rows, 1)


def negated(net: Net, x: Tensor, target: int, rules: Rules, rectify: bool) -> Tensor:
    """CLRP as Eq. 2 has it: R through W, R-bar through -W of the last layer, both from +l."""
    framed = PerFrame(net)
    logits = framed(x).detach()
    rows = []
    for row in range(logits.shape[1]):
        start = torch.zeros_like(logits)
        start[:, row, target] = logits[:, row, target]
        through = oracle.relevance(framed, x, start, rules)
        net.fc.weight.data.neg_()
        against = oracle.relevance(framed, x, start, rules)
        net.fc.weight.data.neg_()
        values = through - against
        rows.append((values.clamp(min=0) if rectify else values).sum((1, 3, 4)))
    return torch.stack(rows, 1)


def difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def cuts(forward: ForwardPass) -> list[int]:
    return CostModel(forward).cuts()


@pytest.mark.parametrize("kind", [*FRAMED, TwoSpeed])
def test_equals_one_pass_per_frame_at_every_meeting_step(kind: type[Net]) -> None:
    net, twin = pair(kind)
    x = clip(frames=14 if kind is Cropped else 10)
    rules = Rules() if kind is Shifted else BOX  # the oracle's bounds know nothing of the padding before the layer
    forward = trace(net, rules).forward(x)
    expected = naive(twin, x, 1, rules)
    found = cuts(forward)
    assert len(found) >= 3 or kind is PreNorm  # relevance at units that are 0 is followed downwards only
    for cut in found:
        assert difference(temporal_relevance(forward, 1, meeting=cut).values, expected) < 1e-9
    assert difference(temporal_relevance(forward, 1).values, expected) < 1e-9


@pytest.mark.parametrize("kind", [Normed, Residual, TwoSpeed])
def test_contrasts_equal_their_definitions(kind: type[Net]) -> None:
    net, twin = pair(kind, seed=5)
    x = clip(1, frames=8)
    forward = trace(net, BOX).forward(x)
    plain = negated(twin, x, 2, BOX, rectify=False)
    pairwise = naive(twin, x, 2, BOX, contrast=0)
    for cut in cuts(forward):
        assert difference(temporal_relevance(forward, 2, "negated", meeting=cut).values, plain) < 1e-9
        assert difference(temporal_relevance(forward, 2, 0, meeting=cut).values, pairwise) < 1e-9
    element = temporal_relevance(forward, 2, "negated", "element").values
    assert difference(element, negated(twin, x, 2, BOX, rectify=True)) < 1e-9
    framed = temporal_relevance(forward, 2, "negated", "frame").values
    assert difference(framed, plain.clamp(min=0)) < 1e-9
    assert difference(framed, element) > 1e-3


def test_rows_of_a_strided_network_lie_at_the_centre_of_their_receptive_field() -> None:
    net, _ = pair(Plain)
    found = temporal_relevance(trace(net, BOX).forward(clip(frames=9)), 0)
    assert found.anchors == (0.0, 2.0, 4.0, 6.0, 8.0)
    net, _ = pair(TwoSpeed)
    found = temporal_relevance(trace(net, BOX).forward(clip(frames=10)), 0)
    assert found.anchors == tuple(float(i) for i in range(10))


def test_evidence_in_one_frame_shows_in_its_row_and_column() -> None:
    net, _ = pair(Normed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.zero_()
            module.bias.data.zero_()
    net.fc.bias.data.zero_()
    net.c4.bias.data.zero_()
    x = torch.zeros((1, 3, 12, 16, 16), dtype=torch.float64)
    x[:, :, 5] = clip(1, 1)[:, :, 0]
    values = temporal_relevance(trace(net).forward(x), 0).values[0].abs()
    assert float(values[:, 5].sum() / values.sum()) > 1 - 1e-12
    assert values.sum(1).nonzero().flatten().tolist() == [3, 4, 5, 6, 7]


def test_rows_sum_to_their_logits_where_no_unit_lives_through_its_bias_only() -> None:
    net, _ = pair(Normed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.zero_()
            module.bias.data.zero_()
            module.weight.data.abs_()
    net.c4.bias.data.zero_()
    forward = trace(net, BOX).forward(clip())
    found = temporal_relevance(forward, 2)
    assert torch.allclose(found.values.sum(2), found.row_logits, rtol=1e-9, atol=1e-12)
    assert torch.allclose(found.row_logits, forward.frame_logits[:, :, 2])
    assert float(temporal_relevance(forward, 2, "negated").values.sum(2).abs().max()) < 1e-12


@pytest.mark.parametrize("kind", [Residual, TwoSpeed, Shifted])
def test_batch_equals_singles(kind: type[Net]) -> None:
    net, _ = pair(kind)
    x = clip(frames=10)
    program = trace(net, BOX)
    forward = program.forward(x)
    whole = temporal_relevance(forward, 1)
    for item in range(len(x)):
        for part in (program.forward(x[item : item + 1]), forward.single(item)):
            alone = temporal_relevance(part, 1)
            assert torch.allclose(alone.values[0], whole.values[item], rtol=1e-10, atol=1e-13)
            assert torch.equal(alone.lengths[0], whole.lengths[item])
        contrast = relevance(forward.single(item), 2, "negated").values
        assert torch.allclose(contrast[0], relevance(forward, 2, "negated").values[item], rtol=1e-10, atol=1e-13)


def test_chunks_of_rows_give_the_same() -> None:
    net, _ = pair(Residual)
    forward = trace(net, BOX).forward(clip(frames=9))
    whole = temporal_relevance(forward, 1, meeting=0)
    costs = CostModel(forward)
    small = next(m for m in (2**k for k in range(10, 30)) if _fits(costs, m))
    assert costs.rows_at_once(0, small) == 1
    chunked = temporal_relevance(forward, 1, meeting=0, memory=small)
    assert torch.allclose(chunked.values, whole.values, rtol=1e-12, atol=1e-14)
    with pytest.raises(MemoryLimitExceeded, match="one row needs"):
        temporal_relevance(forward, 1, meeting=0, memory=2**10)


def _fits(costs: CostModel, memory: int) -> bool:
    try:
        return costs.rows_at_once(0, memory) >= 1
    except MemoryLimitExceeded:
        return False


def test_another_class_reuses_the_lower_half() -> None:
    net, _ = pair(Normed)
    forward = trace(net, BOX).forward(clip(frames=9))
    cut = cuts(forward)[-2]
    temporal_relevance(forward, 0, meeting=cut)
    before = forward.derived[("portions", 0, cut, AS_TRACED)]
    temporal_relevance(forward, 3, "negated", meeting=cut)
    assert forward.derived[("portions", 0, cut, AS_TRACED)] is before


def test_slowfast_blocks() -> None:
    net, _ = pair(TwoSpeed)
    found = temporal_relevance(trace(net, BOX).forward(clip(frames=10)), 1)
    merged = found.merged(2)
    assert merged.shape == (2, 5, 5)
    assert torch.allclose(merged[1, 2, 3], found.values[1, 4:6, 6:8].sum())
    with pytest.raises(RelevanceError, match="block"):
        found.merged(3)


def test_a_head_that_is_not_linear_is_refused_with_the_reason() -> None:
    net, _ = pair(Flattened)
    forward = trace(net, BOX).forward(clip(frames=7))
    with pytest.raises(NoFrameLogits, match="not linear: linear \\+ relu"):
        temporal_relevance(forward, 0)


@pytest.mark.parametrize("rule", [AlphaBeta(2, 1), Gamma(0.25)])
def test_other_rules_meet_exactly_too(rule: AlphaBeta | Gamma) -> None:
    net, twin = pair(Normed)
    x = clip(1, frames=8)
    rules = Rules(convolution=rule, low=BOX.low, high=BOX.high)
    forward = trace(net, rules).forward(x)
    expected = naive(twin, x, 1, rules)
    for cut in cuts(forward):
        assert difference(temporal_relevance(forward, 1, meeting=cut).values, expected) < 1e-9


@pytest.mark.parametrize("loses", [False, True])
def test_the_middle_frame_is_what_the_others_leave_unless_units_lose_relevance(loses: bool) -> None:
    net, twin = pair(Normed)
    for one in (net, twin):
        for layer, norm in ((one.c2, one.b1), (one.c3, one.b2), (one.c4, one.b3)):
            layer.weight.data.abs_()
            norm.bias.data.fill_(2.0)
        if loses:
            one.c3.weight.data[0].neg_()  # lives through its shift only
            one.b3.weight.data[0] = 0.01
    x = clip(1, frames=3)
    forward = trace(net, BOX).forward(x)
    expected, carried = naive(twin, x, 1, BOX), []
    for cut in cuts(forward):
        assert difference(temporal_relevance(forward, 1, meeting=cut).values, expected) < 1e-9
        portions = forward.derived[("portions", 0, cut, AS_TRACED)]
        carried += [p.frames for p in portions.values() if p.values is not None]
    assert set(carried) == ({(0, 2), (0, 1, 2)} if loses else {(0, 2)})


def test_clips_that_say_nothing() -> None:
    net, _ = pair(Normed)
    program = trace(net, BOX)
    single = temporal_relevance(program.forward(clip(1, frames=1)), 0)
    assert single.values.shape == (1, 1, 1)
    assert single.lengths.tolist() == [[1]]
    constant = temporal_relevance(program.forward(torch.zeros((1, 3, 6, 16, 16), dtype=torch.float64)), 0)
    assert bool(constant.values.isfinite().all())
    lost = temporal_relevance(program.forward(torch.full((1, 3, 6, 16, 16), torch.nan, dtype=torch.float64)), 0)
    assert lost.average == (None,)
    assert lost.reasons == ("the logits are not finite",)
    net.fc.bias.data.fill_(-100.0)
    against = temporal_relevance(trace(net, BOX).forward(clip()), 0)
    assert against.average == (None, None)
    assert against.maximum == (None, None)
    assert "no time step has a positive logit" in against.reasons[0]


@pytest.mark.parametrize("kind", [*FRAMED, TwoSpeed])
def test_relevance_goes_on_from_where_the_rows_met_the_frames(kind: type[Net]) -> None:
    net, _ = pair(kind, seed=3)
    program = trace(net, BOX)
    x = clip(frames=14)
    alone = program.forward(x)
    meeting = cuts(alone)[-1]
    for contrast in (None, 0):
        expected = relevance(alone, 1, contrast)
        forward = program.forward(x)
        temporal_relevance(forward, 1, contrast, meeting=meeting)
        kept = [key for key in forward.derived if key[0] == "shared descent"]
        # Two classes share no single way from rows to clip; branches of different length neither.
        assert len(kept) == (2 if contrast is None and kind is not TwoSpeed and meeting else 0)
        found = relevance(forward, 1, contrast)
        assert difference(found.values, expected.values) < 1e-9
        assert torch.allclose(found.defect, expected.defect, rtol=0, atol=1e-9)
