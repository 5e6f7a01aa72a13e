"""Recurrences: beside torch.nn.LSTM, beside autograd, and beside the relevance rule written unit by unit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from handlers.relevance import ConvLSTM, Rules, relevance, temporal_relevance, trace

BOX = Rules(low=(-2.0,) * 3, high=(2.0,) * 3)


class Net(nn.Module):
    """[Convolution, ReLU] of single frames unless first, a recurrence, a linear layer on the mean or the last state."""

    def __init__(self, recurrence: ConvLSTM, channels: int, last: bool = False, first: bool = False) -> None:
        super().__init__()
        self.front = nn.Identity() if first else nn.Sequential(nn.Conv3d(3, channels, (1, 3, 3)), nn.ReLU())
        self.recurrence = recurrence
        self.last = last
        self.head = nn.Linear(recurrence.weight_hh.shape[1], 4)

    def forward(self, clip: Tensor) -> Tensor:
        states = self.recurrence(self.front(clip))
        if self.last:
            states = states[:, :, -1:]
        return self.head(states.mean((2, 3, 4)))


def dense(**options: bool) -> Net:
    torch.manual_seed(3)
    return Net(ConvLSTM(5, 6, kernel=4), 5, **options).double().eval()


def spatial(**options: bool) -> Net:
    torch.manual_seed(4)
    return Net(ConvLSTM(5, 3, kernel=3, stride=2, padding=1, recurrent=3), 5, **options).double().eval()


def first() -> Net:
    torch.manual_seed(5)
    return Net(ConvLSTM(3, 4, kernel=3, stride=2, padding=1, recurrent=3), 3, first=True).double().eval()


NETS = {"dense": dense, "spatial": spatial, "at the clip": first, "last state": lambda: spatial(last=True)}


def clip(batch: int = 2, frames: int = 5, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((batch, 3, frames, 6, 6), generator=generator, dtype=torch.float64) * 4 - 2


def test_on_whole_frames_it_is_torchs_lstm() -> None:
    torch.manual_seed(0)
    own, other = ConvLSTM(5, 6, kernel=2).double(), nn.LSTM(20, 6, batch_first=True).double()
    with torch.no_grad():
        other.weight_ih_l0.copy_(own.weight_ih.flatten(1))
        other.weight_hh_l0.copy_(own.weight_hh.flatten(1))
        other.bias_ih_l0.copy_(own.bias)
        other.bias_hh_l0.zero_()
    x = torch.randn(2, 5, 7, 2, 2, dtype=torch.float64)
    expected, (_, cells) = other(x.transpose(1, 2).flatten(2))
    states = own.states(x)
    torch.testing.assert_close(states.hidden.flatten(2).transpose(1, 2), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(states.cells[:, :, -1].flatten(1), cells[0], rtol=1e-12, atol=1e-12)


def test_with_a_recurrent_kernel_of_three_the_state_spreads_one_pixel_a_frame() -> None:
    own = ConvLSTM(1, 1, recurrent=3).double()
    x = torch.zeros(1, 1, 3, 7, 7, dtype=torch.float64)
    lit = x.clone()
    lit[0, 0, 0, 3, 3] = 1.0
    changed = (own(lit) != own(x))[0, 0]
    assert [int(frame.sum()) for frame in changed] == [1, 9, 25]


def test_an_even_recurrent_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="recurrent: 4 is even"):
        ConvLSTM(1, 1, recurrent=4)


@pytest.mark.parametrize("name", NETS)
def test_the_program_computes_what_the_module_does_and_its_gradient_is_autograds(name: str) -> None:
    net, x = NETS[name](), clip().requires_grad_()
    expected = net(x)
    weights = torch.randn_like(expected)
    (slope,) = torch.autograd.grad(expected, x, weights)
    program = trace(net, BOX)
    for needs_relevance in (True, False):
        forward = program.forward(x, ["recurrence"], relevance=needs_relevance)
        torch.testing.assert_close(forward.logits, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(program.forward(x).gradient("", weights), slope, rtol=1e-9, atol=1e-12)
    if name != "at the clip":
        found = program.forward(x, ["front"], relevance=False).gradient("front", weights)
        kept = net.front(x).detach().requires_grad_()
        states = net.recurrence(kept)
        logits = net.head((states[:, :, -1:] if net.last else states).mean((2, 3, 4)))
        torch.testing.assert_close(found, torch.autograd.grad(logits, kept, weights)[0], rtol=1e-9, atol=1e-12)


@torch.no_grad()
def unit_by_unit(own: ConvLSTM, x: Tensor, arriving: Tensor) -> Tensor:
    """The rule as it is written, for a dense LSTM on [C, T], with relevance [K, T] arriving at its states: [C, T]."""
    inputs, frames = x.shape
    hidden = own.weight_hh.shape[1]
    states = own.states(x[None, :, :, None, None])
    h, c = (s[0, :, :, 0, 0] for s in (states.hidden, states.cells))
    enter, keep, g, _ = states.gates[0, :, :, 0, 0].chunk(4)
    w, u = (m.flatten(1).chunk(4)[2] for m in (own.weight_ih, own.weight_hh))
    found, of_hidden, of_cell = torch.zeros_like(x), torch.zeros(hidden), torch.zeros(hidden)
    for t in reversed(range(frames)):
        to_hidden, to_cell = torch.zeros(hidden, dtype=x.dtype), torch.zeros(hidden, dtype=x.dtype)
        for k in range(hidden):
            whole = of_hidden[k] + of_cell[k] + arriving[k, t]
            kept, added = keep[k, t] * (c[k, t - 1] if t else 0.0), enter[k, t] * g[k, t]
            shares = [float(part) if part * c[k, t] > 0 else 0.0 for part in (kept, added)]
            to_cell[k] = whole * shares[0] / sum(shares)
            candidate = whole * shares[1] / sum(shares)
            products = [w[k, i] * x[i, t] for i in range(inputs)]
            products += [u[k, j] * (h[j, t - 1] if t else 0.0) for j in range(hidden)]
            same = [float(p) if p * g[k, t] > 0 else 0.0 for p in products]
            if candidate == 0 or sum(same) == 0:
                continue
            for i in range(inputs):
                found[i, t] += candidate * same[i] / sum(same)
            for j in range(hidden):
                to_hidden[j] += candidate * same[inputs + j] / sum(same)
        of_hidden, of_cell = to_hidden, to_cell
    return found


@pytest.mark.parametrize("mixed", [False, True])
def test_relevance_is_the_rule_written_unit_by_unit(mixed: bool) -> None:
    torch.manual_seed(1)
    own = ConvLSTM(3, 4).double().eval()
    x = torch.randn(3, 5, dtype=torch.float64)
    x = x if mixed else x.abs()
    head = torch.randn(4, 4, dtype=torch.float64)

    class Direct(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrence = own
            self.head = nn.Linear(4, 4, bias=False).double()
            self.head.weight.data.copy_(head)

        def forward(self, clip: Tensor) -> Tensor:
            return self.head(self.recurrence(clip).mean((2, 3, 4)))

    forward = trace(Direct().eval()).forward(x[None, :, :, None, None])
    states = forward.activation("recurrence")[0, :, :, 0, 0]
    for target in range(4):
        products = (head[target] * states.mean(1)).clamp(min=0)
        of_unit = forward.logits[0, target] * products / products.sum().clamp(min=1e-9)
        arriving = of_unit[:, None] * states / states.sum(1, keepdim=True)
        found = relevance(forward, target).values[0, :, :, 0, 0]
        torch.testing.assert_close(found, unit_by_unit(own, x, arriving), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NETS)
def test_relevance_is_conserved_linear_and_the_same_in_a_batch(name: str) -> None:
    net = NETS[name]()
    with torch.no_grad():
        net.recurrence.bias.zero_()  # no candidate lives on its bias alone
    program = trace(net, BOX)
    forward = program.forward(clip())
    found = [relevance(forward, target) for target in range(4)]
    states = net.recurrence(net.front(clip())).detach()
    seen = (states[:, :, -1:] if net.last else states).mean((2, 3, 4))
    for target, one in enumerate(found):
        # A logit that lives on its bias alone has nothing to share out.
        alive = (net.head.weight[target] * seen).amax(1) > 0
        assert bool(alive.any())
        assert float(one.defect[alive].abs().max()) < 1e-9
    both = relevance(forward, 1, 3).values
    torch.testing.assert_close(both, found[1].values - found[3].values, rtol=1e-8, atol=1e-10)
    alone = relevance(program.forward(clip()[1:]), 2).values
    torch.testing.assert_close(found[2].values[1:], alone, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["dense", "spatial", "at the clip"])
def test_rows_are_those_carried_to_the_clip_and_know_no_later_frame(name: str) -> None:
    forward = trace(NETS[name](), BOX).forward(clip())
    torch.testing.assert_close(forward.frame_logits.mean(1), forward.logits, rtol=1e-9, atol=1e-9)
    rows = temporal_relevance(forward, 1)
    down = temporal_relevance(forward, 1, meeting=0)
    torch.testing.assert_close(rows.values, down.values, rtol=1e-8, atol=1e-10)
    assert rows.anchors == (0, 1, 2, 3, 4)
    assert bool((rows.values.triu(1) == 0).all())


@pytest.mark.parametrize("name", NETS)
def test_nothing_is_made_on_the_default_device(name: str) -> None:
    with torch.device("cpu"):
        net, x = NETS[name](), clip()
    with torch.device("meta"):  # a tensor made there has no values: mixing it with the clip's raises
        forward = trace(net, BOX).forward(x)
        found = [relevance(forward, 1, "negated").values, temporal_relevance(forward, 1).values]
        found.append(forward.gradient("", torch.ones_like(forward.logits)))
    assert {values.device.type for values in found} == {"cpu"}


@pytest.mark.parametrize("frame", range(5))
def test_evidence_in_one_frame_is_found_in_that_frame(frame: int) -> None:
    net = dense()
    with torch.no_grad():
        for tensor in net.parameters():
            tensor.abs_() if tensor.dim() > 1 else tensor.zero_()
    x = torch.zeros_like(clip(1))
    x[:, :, frame] = 1.0
    forward = trace(net, Rules()).forward(x)
    shares = relevance(forward, 0).values.sum((0, 1, 3, 4))
    assert float(shares[frame]) > 0.999 * float(shares.sum())
    rows = temporal_relevance(forward, 0)
    for row in range(frame, 5):  # it is remembered from then on
        assert float(rows.values[0, row, frame]) > 0.999 * float(rows.values[0, row].sum()) > 0
    assert bool((rows.row_logits[0, :frame] == 0).all())
