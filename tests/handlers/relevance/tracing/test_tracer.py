"""Tracing sees what it must: reuse, in-place operations, shapes, readers in any order, and what it must refuse."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handlers.relevance import BadClip, RelevanceError, Rules, UnknownClass, UnsupportedOperation, relevance, trace
from tests.handlers.relevance.networks import ALL, clip, pair


class Small(nn.Module):
    """A trunk with a body that each test fills in."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.c1, self.c2 = nn.Conv3d(3, 4, 3, 1, 1), nn.Conv3d(4, 4, 3, 1, 1)
        self.norm = nn.BatchNorm3d(4)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 4)
        self.norm.running_mean.normal_()
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(F.relu(self.c1(x))).mean((2, 3, 4)))


def same(first: type[Small], second: type[Small]) -> None:
    a, b = first().eval(), second().eval()
    x = clip()
    forwards = [trace(net, Rules(low=(-2.0,) * 3, high=(2.0,) * 3)).forward(x) for net in (a, b)]
    assert torch.allclose(forwards[0].logits, a(x), atol=1e-12)
    assert torch.allclose(forwards[0].logits, forwards[1].logits, atol=1e-12)
    found = [relevance(forward, 1).values for forward in forwards]
    assert torch.allclose(found[0], found[1], rtol=1e-10, atol=1e-13)
    assert float(found[0].abs().max()) > 0


def test_a_reused_module_equals_two_copies() -> None:
    class Reused(Small):
        def body(self, x: Tensor) -> Tensor:
            return self.relu(self.c2(self.relu(self.c2(x))))

    class Copies(Small):
        def __init__(self) -> None:
            super().__init__()
            self.c3 = nn.Conv3d(4, 4, 3, 1, 1).double()
            self.c3.load_state_dict(self.c2.state_dict())

        def body(self, x: Tensor) -> Tensor:
            return F.relu(self.c3(F.relu(self.c2(x))))

    same(Reused, Copies)


def test_readers_of_one_tensor_count_in_every_order() -> None:
    class First(Small):
        def body(self, x: Tensor) -> Tensor:
            a = self.norm(x)
            b = self.c2(x)
            return F.relu(a + b)

    class Second(Small):
        def body(self, x: Tensor) -> Tensor:
            b = self.c2(x)
            a = self.norm(x)
            return F.relu(b + a)

    same(First, Second)


def test_in_place_addition_is_seen_by_every_alias() -> None:
    class InPlace(Small):
        def body(self, x: Tensor) -> Tensor:
            y = self.c2(x)
            alias = y
            y += x
            return F.relu(alias)

    class Plain(Small):
        def body(self, x: Tensor) -> Tensor:
            return F.relu(self.c2(x) + x)

    same(InPlace, Plain)


def test_in_place_rectifier_changes_what_later_readers_see() -> None:
    class InPlace(Small):
        def body(self, x: Tensor) -> Tensor:
            y = self.c2(x)
            z = F.relu(y, inplace=True)
            return y + z + x

    class Plain(Small):
        def body(self, x: Tensor) -> Tensor:
            z = F.relu(self.c2(x))
            return z + z + x

    same(InPlace, Plain)


def test_in_place_on_a_view_that_is_used_later_is_refused() -> None:
    class Net(Small):
        def body(self, x: Tensor) -> Tensor:
            y = self.c2(x)
            part = y[:, :2]
            part += 0.0 * part
            F.relu(part, inplace=True)
            return y

    with pytest.raises(UnsupportedOperation, match="view"):
        trace(Net())


def test_sizes_computed_from_the_clip_serve_any_size() -> None:
    class Net(Small):
        def body(self, x: Tensor) -> Tensor:
            b, c, t = x.size(0), x.shape[1], x.size(2)
            y = x.transpose(1, 2).reshape(b * t, c, x.shape[3], x.shape[4])
            y = y.view(b, t, c, *y.shape[2:]) if False else y.view(b, t, c, x.size(3), -1)
            return F.relu(self.c2(y.permute(0, 2, 1, 3, 4).contiguous()))

    net = Net()
    program = trace(net)
    for frames, size in ((3, 8), (6, 11)):
        x = clip(2, frames, size)
        forward = program.forward(x)
        assert torch.allclose(forward.logits, net(x), atol=1e-12)
        assert relevance(forward, 0).values.shape == x.shape


def test_frames_folded_into_the_batch_give_the_same_relevance() -> None:
    class Folded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.c = nn.Conv2d(3, 5, 3, 2, 1)
            self.fc = nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            b, c, t, h, w = x.shape
            y = F.relu(self.c(x.transpose(1, 2).reshape(b * t, c, h, w)))
            return self.fc(y.mean((2, 3)).view(b, t, 5).mean(1))

    class Whole(nn.Module):
        def __init__(self, folded: Folded) -> None:
            super().__init__()
            self.c = nn.Conv3d(3, 5, (1, 3, 3), (1, 2, 2), (0, 1, 1)).double()
            self.c.load_state_dict({"weight": folded.c.weight[:, :, None], "bias": folded.c.bias})
            self.fc = folded.fc

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(F.relu(self.c(x)).mean((2, 3, 4)))

    folded = Folded().double().eval()
    whole = Whole(folded).eval()
    x = clip(3, 5)
    first, second = (relevance(trace(net).forward(x), 2) for net in (folded, whole))
    assert torch.allclose(first.values, second.values, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("kind", ALL)
def test_batch_equals_singles_and_start_scales_relevance(kind: type[nn.Module]) -> None:
    net, _ = pair(kind)  # type: ignore[arg-type]
    program = trace(net, Rules(low=(-2.0,) * 3, high=(2.0,) * 3))
    x = clip(3)
    targets = torch.tensor([0, 3, 1])
    whole = relevance(program.forward(x), targets)
    order = torch.tensor([2, 0, 1])
    shuffled = relevance(program.forward(x[order]), targets[order])
    assert torch.allclose(shuffled.values, whole.values[order], rtol=1e-9, atol=1e-12)
    for item in range(3):
        alone = relevance(program.forward(x[item : item + 1]), int(targets[item]))
        assert torch.allclose(alone.values[0], whole.values[item], rtol=1e-9, atol=1e-12)
    weights = torch.zeros((3, 4), dtype=torch.float64).scatter_(1, targets[:, None], 2.5)
    assert torch.allclose(relevance(program.forward(x), weights).values, 2.5 * whole.values, rtol=1e-9, atol=1e-12)
    pairwise = relevance(program.forward(x), targets, contrast=2)
    merged = whole.values - relevance(program.forward(x), 2).values
    assert torch.allclose(pairwise.values, merged, rtol=1e-7, atol=1e-10)


def test_conservation_is_reported() -> None:
    net, _ = pair(ALL[0])
    found = relevance(trace(net, Rules(low=(-2.0,) * 3, high=(2.0,) * 3)).forward(clip()), 1)
    assert torch.allclose(found.defect, 1 - found.values.sum((1, 2, 3, 4)) / found.start)


REFUSED = {
    "sigmoid": (lambda net, x: torch.sigmoid(x), "sigmoid", "use ReLU"),
    "product": (lambda net, x: x * x, "multiplication of two tensors", "gates"),
    "constant": (lambda net, x: x + 1, "addition of a constant", "bias"),
    "sum over the batch": (lambda net, x: torch.cat([x, x], 0), "cat along the batch", "channels"),
    "squeeze": (lambda net, x: x.squeeze(), "squeeze of every axis", "flatten"),
    "index": (lambda net, x: x[:, 0], "indexing", "slices"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_operations_without_a_rule_are_refused_by_name_and_place(name: str) -> None:
    call, operation, alternative = REFUSED[name]

    class Block(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return call(self, x)

    class Net(Small):
        def __init__(self) -> None:
            super().__init__()
            self.block = Block()

        def body(self, x: Tensor) -> Tensor:
            return self.block(x)

    with pytest.raises(UnsupportedOperation) as caught:
        trace(Net().eval())
    assert operation in caught.value.operation
    assert alternative in caught.value.alternative
    assert caught.value.step_name.startswith("block")


def test_modules_control_flow_and_training_mode_are_refused() -> None:
    with pytest.raises(UnsupportedOperation, match=r"^1: no relevance rule for Tanh; use ReLU"):
        trace(nn.Sequential(nn.Conv3d(3, 4, 1), nn.Tanh(), nn.Flatten()).eval())
    with pytest.raises(RelevanceError, match=r"call model\.eval"):
        trace(Small().train())

    class Branching(Small):
        def body(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(UnsupportedOperation, match="control flow"):
        trace(Branching())


def test_bad_requests_name_the_field() -> None:
    net, _ = pair(ALL[0])
    program = trace(net)
    with pytest.raises(BadClip, match="clip: expected"):
        program.forward(torch.zeros(3, 8, 8))
    with pytest.raises(BadClip, match="does not fit the model at c1"):
        program.forward(torch.zeros((1, 2, 7, 16, 16), dtype=torch.float64))
    forward = program.forward(clip())
    with pytest.raises(UnknownClass, match=r"target: classes are 0 \.\. 3"):
        relevance(forward, 4)
    with pytest.raises(UnknownClass, match="contrast"):
        relevance(forward, 0, contrast=torch.tensor([0, 9]))
