"""Small networks for the tests. Each exists twice, with the same weights.

oracle=False: as people write them, with functional calls, reused and in-place modules. oracle=True: as an
attribution tool that works on modules needs them, every operation a module of its own, sums through `summed`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Summed = Callable[[nn.Module], nn.Module]


class Sum(nn.Module):
    """Sum over the last axis, for stacked branches."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(-1)


class Net(nn.Module):
    """Base: `act` and `plus` in both styles."""

    def __init__(self, oracle: bool) -> None:
        super().__init__()
        self.oracle = oracle
        self.count = 0

    def make(self, sums: int = 0, relus: int = 0) -> None:
        self.sums = nn.ModuleList(Sum() for _ in range(sums))
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(relus))
        self.shared = nn.ReLU(inplace=True)

    def act(self, x: Tensor, number: int) -> Tensor:
        if self.oracle:
            return self.relus[number](x)
        return (F.relu(x), torch.relu(x), x.relu(), F.relu(x, inplace=True), self.shared(x))[number % 5]

    def plus(self, x: Tensor, y: Tensor, number: int) -> Tensor:
        if self.oracle:
            return self.sums[number](torch.stack([x, y], -1))
        if number % 2:
            x += y
            return x
        return x + y

    def head(self, x: Tensor) -> Tensor:
        if self.oracle:
            return self.fc(self.pool_all(x).flatten(1))
        return self.fc(x.mean((2, 3, 4)))


def _head(net: Net, channels: int, classes: int = 4) -> None:
    net.pool_all = nn.AdaptiveAvgPool3d(1)
    net.fc = nn.Linear(channels, classes)


class Plain(Net):
    """Convolutions, biases, strides in space and time, max and average pooling."""

    def __init__(self, oracle: bool) -> None:
        super().__init__(oracle)
        self.make(relus=3)
        self.c1 = nn.Conv3d(3, 6, (3, 5, 5), (1, 2, 2), (1, 2, 2))
        self.c2 = nn.Conv3d(6, 8, 3, (2, 1, 1), 1)
        self.c3 = nn.Conv3d(8, 8, (3, 3, 1), 1, (1, 1, 0))
        self.max = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        self.average = nn.AvgPool3d((1, 2, 2), (1, 1, 1))
        _head(self, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.c1(x), 0)
        x = self.max(x) if self.oracle else F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
        x = self.act(self.c2(x), 1)
        x = self.average(x) if self.oracle else F.avg_pool3d(x, (1, 2, 2), 1)
        return self.head(self.act(self.c3(x), 2))


class Normed(Net):
    """Batch norm after convolutions, with signs of gamma mixed; R(2+1)D factorisation."""

    def __init__(self, oracle: bool) -> None:
        super().__init__(oracle)
        self.make(relus=4)
        self.c1, self.b1 = nn.Conv3d(3, 6, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False), nn.BatchNorm3d(6)
        self.c2, self.b2 = nn.Conv3d(6, 7, (3, 1, 1), 1, (1, 0, 0), bias=False), nn.BatchNorm3d(7)
        self.c3, self.b3 = nn.Conv3d(7, 8, (1, 3, 3), 1, (0, 1, 1), bias=False), nn.BatchNorm3d(8)
        self.c4, self.b4 = nn.Conv3d(8, 9, (3, 1, 1), 1, (1, 0, 0)), nn.BatchNorm3d(9)
        _head(self, 9)

    def forward(self, x: Tensor) -> Tensor:
        for number in range(4):
            convolution, norm = getattr(self, f"c{number + 1}"), getattr(self, f"b{number + 1}")
            x = self.act(norm(convolution(x)), number)
        return self.head(x)


class Residual(Net):
    """Two residual blocks, the second a strided bottleneck with a projection."""

    def __init__(self, oracle: bool) -> None:
        super().__init__(oracle)
        self.make(sums=2, relus=6)
        self.stem, self.bs = nn.Conv3d(3, 6, (1, 3, 3), (1, 2, 2), (0, 1, 1)), nn.BatchNorm3d(6)
        self.a1, self.ab1 = nn.Conv3d(6, 6, 3, 1, 1, bias=False), nn.BatchNorm3d(6)
        self.a2, self.ab2 = nn.Conv3d(6, 6, 3, 1, 1, bias=False), nn.BatchNorm3d(6)
        self.p1, self.pb1 = nn.Conv3d(6, 4, 1, bias=False), nn.BatchNorm3d(4)
        self.p2, self.pb2 = nn.Conv3d(4, 4, (3, 3, 3), (1, 2, 2), 1, bias=False), nn.BatchNorm3d(4)
        self.p3, self.pb3 = nn.Conv3d(4, 10, 1, bias=False), nn.BatchNorm3d(10)
        self.down, self.db = nn.Conv3d(6, 10, 1, (1, 2, 2), bias=False), nn.BatchNorm3d(10)
        _head(self, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bs(self.stem(x)), 0)
        y = self.ab2(self.a2(self.act(self.ab1(self.a1(x)), 1)))
        x = self.act(self.plus(y, x, 1), 2)
        y = self.act(self.pb1(self.p1(x)), 3)
        y = self.act(self.pb2(self.p2(y)), 4)
        x = self.act(self.plus(self.pb3(self.p3(y)), self.db(self.down(x)), 0), 5)
        return self.head(x)


class Branches(Net):
    """Inception-like: concatenation, grouped, depthwise and dilated convolutions, a tensor with three readers."""

    def __init__(self, oracle: bool) -> None:
        super().__init__(oracle)
        self.make(sums=1, relus=6)
        self.c1 = nn.Conv3d(3, 8, 3, (1, 2, 2), 1)
        self.one = nn.Conv3d(8, 4, 1)
        self.grouped = nn.Conv3d(8, 8, (1, 3, 3), 1, (0, 1, 1), groups=2)
        self.depthwise, self.nd = nn.Conv3d(8, 8, (3, 1, 1), 1, (1, 0, 0), groups=8, bias=False), nn.BatchNorm3d(8)
        self.pool = nn.MaxPool3d(3, 1, 1)
        self.last = nn.Conv3d(20, 8, (3, 3, 3), 1, (2, 2, 2), dilation=(2, 2, 2))
        self.side = nn.Conv3d(8, 8, (1, 1, 1))
        _head(self, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.c1(x), 0)
        a, b = self.act(self.one(x), 1), self.act(self.grouped(x), 2)
        c = self.pool(self.act(self.nd(self.depthwise(x)), 5 if self.oracle else 0))
        y = self.act(self.last(torch.cat([a, b, c], 1)), 3)
        return self.head(self.act(self.plus(y, self.side(x), 0), 4))


class Signed(Net):
    """Inputs of convolutions that can be negative: no rectifier between some layers, the clip without bounds."""

    def __init__(self, oracle: bool) -> None:
        super().__init__(oracle)
        self.make(relus=1)
        self.c1, self.c2 = nn.Conv3d(3, 6, 3, 1, 1), nn.Conv3d(6, 6, (3, 3, 3), (1, 2, 2), 1)
        self.b2, self.c3 = nn.BatchNorm3d(6), nn.Conv3d(6, 6, (1, 3, 3), 1, (0, 1, 1))
        _head(self, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.c3(self.act(self.b2(self.c2(self.c1(x))), 0)))


class PreNorm(Net):
    """Batch norm before the convolution, where a unit can be 0 and carry relevance (pre-activation residual block)."""

    def __init__(self, oracle: bool) -> None:
        super().__init__(oracle)
        self.make(sums=1, relus=3)
        self.c1, self.b1 = nn.Conv3d(3, 6, (1, 3, 3), (1, 2, 2), (0, 1, 1)), nn.BatchNorm3d(6)
        self.c2, self.b2 = nn.Conv3d(6, 6, 3, 1, 1), nn.BatchNorm3d(6)
        self.c3 = nn.Conv3d(6, 6, (3, 1, 1), 1, (1, 0, 0))
        _head(self, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.c1(x), 0)
        y = self.c2(self.act(self.b1(x), 1))
        return self.head(self.c3(self.act(self.b2(self.plus(y, x, 0)), 2)))


class Flattened(Net):
    """C3D: pooling in time, flatten, linear layers with dropout; no logits per frame."""

    def __init__(self, oracle: bool) -> None:
        super().__init__(oracle)
        self.make(relus=3)
        self.c1, self.c2 = nn.Conv3d(3, 6, 3, 1, 1), nn.Conv3d(6, 6, 3, 1, 1)
        self.pool1, self.pool2 = nn.MaxPool3d((1, 2, 2)), nn.MaxPool3d(2, ceil_mode=True)
        self.f1, self.f2 = nn.Linear(6 * 4 * 4 * 4, 10), nn.Linear(10, 4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.act(self.c1(x), 0))
        x = self.pool2(self.act(self.c2(x), 1))
        x = x.flatten(1) if self.oracle else x.view(x.size(0), -1)
        return self.f2(self.drop(self.act(self.f1(x), 2)))


class TwoSpeed(Net):
    """SlowFast: a slow branch on every second frame, a fast one on all, a strided lateral connection between them."""

    def __init__(self, oracle: bool) -> None:
        super().__init__(oracle)
        self.make(relus=5)
        self.s1, self.s2 = nn.Conv3d(3, 6, (1, 3, 3), (1, 2, 2), (0, 1, 1)), nn.Conv3d(10, 8, 3, 1, 1)
        self.f1, self.f2 = nn.Conv3d(3, 4, (5, 3, 3), (1, 2, 2), (2, 1, 1)), nn.Conv3d(4, 4, 3, 1, 1)
        self.lateral = nn.Conv3d(4, 4, (5, 1, 1), (2, 1, 1), (2, 0, 0))
        self.pool_slow, self.pool_fast = nn.AdaptiveAvgPool3d((None, 1, 1)), nn.AdaptiveAvgPool3d((None, 1, 1))
        self.fc = nn.Linear(12, 4)

    def trunk(self, x: Tensor) -> tuple[Tensor, Tensor]:
        slow, fast = self.act(self.s1(x[:, :, ::2]), 0), self.act(self.f1(x), 1)
        slow = torch.cat([slow, self.act(self.lateral(fast), 2)], 1)
        return self.act(self.s2(slow), 3), self.act(self.f2(fast), 4)

    def forward(self, x: Tensor) -> Tensor:
        slow, fast = self.trunk(x)
        return self.fc(torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1))

    def by_step(self, x: Tensor) -> Tensor:
        """[B, T, K]: slow features at slow frames and 0 between, beside the fast ones (ATR paper, appendix B)."""
        slow, fast = self.trunk(x)
        slow, fast = self.pool_slow(slow).flatten(2), self.pool_fast(fast).flatten(2)
        spaced = torch.stack([slow, torch.zeros_like(slow)], 3).flatten(2)[:, :, : fast.shape[2]]
        return self.fc(torch.cat([spaced, fast], 1).transpose(1, 2))


class Shifted(Net):
    """Temporal pooling and padding, an even kernel, dilation in time: rows and frames on different grids."""

    def __init__(self, oracle: bool) -> None:
        super().__init__(oracle)
        self.make(relus=3)
        self.c1 = nn.Conv3d(3, 5, (2, 3, 3), (1, 2, 2), (0, 1, 1))
        self.c2 = nn.Conv3d(5, 6, (3, 3, 3), 1, (2, 1, 1), dilation=(2, 1, 1))
        self.pool = nn.MaxPool3d((3, 2, 2), (2, 2, 2), (1, 0, 0))
        self.average = nn.AvgPool3d((2, 1, 1), (1, 1, 1))
        self.c3 = nn.Conv3d(6, 6, (3, 1, 1), (2, 1, 1), (1, 0, 0))
        _head(self, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, (0, 0, 0, 0, 1, 0))
        x = self.pool(self.act(self.c1(x), 0))
        x = self.average(self.act(self.c2(x), 1))
        return self.head(self.act(self.c3(x), 2))


class Cropped(Net):
    """Time steps cut off right before layers that pad in time: what a window holds beyond the cut belongs to nobody."""

    def __init__(self, oracle: bool) -> None:
        super().__init__(oracle)
        self.make(relus=3)
        self.c1 = nn.Conv3d(3, 5, 3, (1, 2, 2), 1)
        self.c2 = nn.Conv3d(5, 6, (3, 3, 3), (1, 2, 2), 1)
        self.c3 = nn.Conv3d(6, 6, (5, 1, 1), 1, (2, 0, 0))
        _head(self, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.c1(x), 0)[:, :, 1:-1]
        x = self.act(self.c2(x), 1)[:, :, :-2]
        return self.head(self.act(self.c3(x), 2))


ALL: tuple[type[Net], ...] = (Plain, Normed, Residual, Branches, Signed, PreNorm, Flattened)
FRAMED: tuple[type[Net], ...] = (Plain, Normed, Residual, Branches, Signed, PreNorm, Shifted, Cropped)


def pair(kind: type[Net], seed: int = 0) -> tuple[Net, Net]:
    """(as written, for the oracle), float64, evaluation mode, equal weights; batch norms with all signs of gamma."""
    torch.manual_seed(seed)
    net, twin = kind(False), kind(True)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(-0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    twin.load_state_dict(net.state_dict())
    return net.double().eval(), twin.double().eval()


def clip(batch: int = 2, frames: int = 7, size: int = 16, seed: int = 1) -> Tensor:
    """[batch, 3, frames, size, size] float64 in -2 .. 2."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((batch, 3, frames, size, size), generator=generator, dtype=torch.float64) * 4 - 2
