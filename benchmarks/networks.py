"""The video networks that the benchmarks time: random He weights, batch norm with random statistics.

Layer sizes follow the published architectures; what counts here is their shape, not what they know.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Unit(nn.Sequential):
    """Convolution, batch norm, rectifier."""

    def __init__(
        self, c_in: int, c_out: int, size: tuple[int, int, int], stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        t, h, w = size
        layers: list[nn.Module] = [
            nn.Conv3d(c_in, c_out, size, (1, stride, stride), (t // 2, h // 2, w // 2), groups=groups, bias=False),
            nn.BatchNorm3d(c_out),
        ]
        super().__init__(*layers, *([nn.ReLU()] if relu else []))


class Head(nn.Module):
    """Global average pooling and one linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(x.mean((2, 3, 4)))
        return logits


class Factored(nn.Sequential):
    """(2+1)D: space, then time."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1, relu: bool = True) -> None:
        middle = (c_in * c_out * 27) // (c_in * 9 + 3 * c_out)
        super().__init__(Unit(c_in, middle, (1, 3, 3), stride), Unit(middle, c_out, (3, 1, 1), relu=relu))


class FactoredBlock(nn.Module):
    """Residual block of two (2+1)D convolutions."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = Factored(c_in, c_out, stride), Factored(c_out, c_out, relu=False)
        self.down = Unit(c_in, c_out, (1, 1, 1), stride, relu=False) if stride > 1 or c_in != c_out else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.second(self.first(x)) + self.down(x))
        return y


class Bottleneck(nn.Module):
    """ResNet-50 block.

    time: temporal size of the first convolution. shift: a depthwise temporal convolution before it.
    """

    def __init__(self, c_in: int, width: int, stride: int, time: int, shift: bool) -> None:
        super().__init__()
        c_out = 4 * width
        self.shift = Unit(c_in, c_in, (3, 1, 1), groups=c_in) if shift else nn.Identity()
        self.first = Unit(c_in, width, (time, 1, 1))
        self.second = Unit(width, width, (1, 3, 3), stride)
        self.third = Unit(width, c_out, (1, 1, 1), relu=False)
        self.down = Unit(c_in, c_out, (1, 1, 1), stride, relu=False) if stride > 1 or c_in != c_out else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.third(self.second(self.first(self.shift(x)))) + self.down(x))
        return y


def small(classes: int = 10) -> nn.Module:
    """A real-time R(2+1)D-like network; time is never strided."""
    return nn.Sequential(
        Unit(3, 16, (1, 5, 5), 2),
        Unit(16, 24, (3, 1, 1)),
        nn.MaxPool3d((1, 2, 2)),
        FactoredBlock(24, 24, 1),
        FactoredBlock(24, 48, 2),
        FactoredBlock(48, 96, 2),
        Head(96, classes),
    )


def r2plus1d_18(classes: int = 400) -> nn.Module:
    """R(2+1)D-18 without temporal strides."""
    stem = [Unit(3, 45, (1, 7, 7), 2), Unit(45, 64, (3, 1, 1))]
    blocks, c_in = [], 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [FactoredBlock(c_in, width, stride), FactoredBlock(width, width, 1)]
        c_in = width
    return nn.Sequential(*stem, *blocks, Head(512, classes))


def _resnet50(stem: nn.Module, time: Callable[[int, int], int], shift: bool, classes: int) -> nn.Module:
    blocks, c_in = [], 64
    for stage, (width, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for number in range(count):
            blocks.append(Bottleneck(c_in, width, 2 if number == 0 and stage else 1, time(stage, number), shift))
            c_in = 4 * width
    return nn.Sequential(stem, nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)), *blocks, Head(2048, classes))


def i3d_r50(classes: int = 400) -> nn.Module:
    """I3D-ResNet50 without temporal pooling: 5x7x7 stem, every other block with a (3, 1, 1) convolution."""
    return _resnet50(
        Unit(3, 64, (5, 7, 7), 2), lambda stage, number: 3 if stage < 2 or number % 2 == 0 else 1, False, classes
    )


def tam_r50(classes: int = 400) -> nn.Module:
    """TAM2D-ResNet50: a depthwise temporal convolution in every block, all else spatial."""
    return _resnet50(Unit(3, 64, (1, 7, 7), 2), lambda stage, number: 1, True, classes)


def c3d(classes: int = 101) -> nn.Module:
    """C3D for 16 frames of 112 pixels: pooling in time, three linear layers; no logits per frame."""
    layers: list[nn.Module] = []
    c_in = 3
    for number, (width, pool) in enumerate(
        ((64, 1), (128, 2), (256, 0), (256, 2), (512, 0), (512, 2), (512, 0), (512, 2))
    ):
        layers += [nn.Conv3d(c_in, width, 3, padding=1), nn.ReLU()]
        if pool:
            layers.append(nn.MaxPool3d((pool, 2, 2), (pool, 2, 2), (0, 1, 1) if number == 7 else 0))
        c_in = width
    layers += [
        nn.Flatten(),
        nn.Linear(8192, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(),
    ]
    return nn.Sequential(*layers, nn.Linear(4096, classes))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "small 16f": (small, 16),
    "I3D 8f": (i3d_r50, 8),
    "I3D 16f": (i3d_r50, 16),
    "I3D 32f": (i3d_r50, 32),
    "TAM 16f": (tam_r50, 16),
    "R(2+1)D-18": (r2plus1d_18, 16),
    "C3D": (c3d, 16),
}
"""Name -> (how to build it, frames)."""


def network(name: str, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """The named network in evaluation mode and a clip [1, 3, T, 112, 112] in -2 .. 2, float32."""
    build, frames = NETWORKS[name]
    torch.manual_seed(seed)
    net = build()
    for module in net.modules():
        if isinstance(module, nn.Conv3d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.BatchNorm3d):
            module.weight.data.uniform_(0.5, 1.0)
            module.bias.data.normal_(0, 0.1)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    smooth = torch.rand((1, 3, frames, 14, 14)) * 4 - 2
    clip = nn.functional.interpolate(smooth, size=(frames, 112, 112), mode="trilinear")
    return net.eval(), clip
