"""InceptionV3 (Szegedy et al., 2016) on clips, as tensorflow-model-zoo.torch has it for TSN and TRN."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from handlers.models.blocks.frame_conv import FrameConv2d
from handlers.relevance import SamePad

Size = tuple[int, int]
"""Height and width of a kernel."""
Row = tuple[tuple[int, Size], ...]
"""Convolutions, (channels, kernel) of each."""

_DOT, _SMALL, _LARGE, _HIGH, _WIDE = (1, 1), (3, 3), (5, 5), (7, 1), (1, 7)


@dataclass(frozen=True)
class Branch:
    """tower: what its names have behind the module's. row: one behind the other. fan: side by side behind the row."""

    tower: str
    row: Row
    fan: Row = ()


@dataclass(frozen=True)
class MixedModule:
    """A module: branches, joined in this order, and the pooling.

    projected: channels of the 1x1 convolution behind the pooling; 0: there is none, and the module halves the frame,
    by the last convolution of every branch. highest: the pooling takes the maximum; one that halves always does.
    """

    branches: tuple[Branch, ...]
    projected: int = 0
    highest: bool = False


def _square(projected: int) -> MixedModule:
    double = Branch("_tower_1", ((64, _DOT), (96, _SMALL), (96, _SMALL)))
    return MixedModule((Branch("", ((64, _DOT),)), Branch("_tower", ((48, _DOT), (64, _LARGE))), double), projected)


def _long(inner: int) -> MixedModule:
    once = Branch("_tower", ((inner, _DOT), (inner, _HIGH), (192, _WIDE)))
    twice = Branch("_tower_1", ((inner, _DOT), (inner, _WIDE), (inner, _HIGH), (inner, _WIDE), (192, _HIGH)))
    return MixedModule((Branch("", ((192, _DOT),)), once, twice), 192)


def _fanned(highest: bool) -> MixedModule:
    fan = ((384, (3, 1)), (384, (1, 3)))
    once, twice = Branch("_tower", ((384, _DOT),), fan), Branch("_tower_1", ((448, _DOT), (384, _SMALL)), fan)
    return MixedModule((Branch("", ((320, _DOT),)), once, twice), 192, highest)


_STEM = ((32, _SMALL), (32, _SMALL), (64, _SMALL), (80, _DOT), (192, _SMALL))
MIXED = {
    "mixed": _square(32),
    "mixed_1": _square(64),
    "mixed_2": _square(64),
    "mixed_3": MixedModule((Branch("", ((384, _SMALL),)), Branch("_tower", ((64, _DOT), (96, _SMALL), (96, _SMALL))))),
    "mixed_4": _long(128),
    "mixed_5": _long(160),
    "mixed_6": _long(160),
    "mixed_7": _long(192),
    "mixed_8": MixedModule(
        (
            Branch("_tower", ((192, _DOT), (320, _SMALL))),
            Branch("_tower_1", ((192, _DOT), (192, _HIGH), (192, _WIDE), (192, _SMALL))),
        )
    ),
    "mixed_9": _fanned(highest=False),
    "mixed_10": _fanned(highest=True),
}


class InceptionV3(nn.Module):
    """Every frame by itself, to the maps `mixed_10_join`. All parameters lie at the top, as the port has them.

    Where the port is not torchvision's: convolutions have a bias; batch norm adds 1e-5 to the variance; kernels of
    7 x 1 and 1 x 7, and of 3 x 1 and 1 x 3, have changed places; mixed_10 pools by the maximum; poolings that halve
    round up, where convolutions round down; there is no auxiliary classifier. Zeros count in averages, as there. For
    the rounding, only sides of 69 pixels or more fit that are 5 to 12 more than a multiple of 32, as 299 is: at others
    the branches of a module differ in size. The port's last pooling is 8 x 8, which at 299 x 299 is the mean.
    divisor: of all widths.
    """

    def __init__(self, divisor: int = 1) -> None:
        super().__init__()
        self._divisor = divisor
        width = 3
        for (name, outputs, size), stride, same in zip(
            _named("conv", _STEM), (2, 1, 1, 1, 1), (False, False, True, True, False), strict=True
        ):
            width = self._add(name, width, outputs, size, stride, same)
        self.pool, self.pool_1 = _halved(), _halved()
        for name, mixed in MIXED.items():
            width = self._add_mixed(name, width, mixed)
        self.outputs = width

    def features(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to [B, outputs, T, H', W'], of 299 x 299 pixels 8 x 8, not negative."""
        x: Tensor = self.pool(self._through(clip, "conv", "conv_1", "conv_2"))
        x = self.pool_1(self._through(x, "conv_3", "conv_4"))
        for name, mixed in MIXED.items():
            x = self._mixed(x, name, mixed)
        return x

    def _add(self, name: str, inputs: int, outputs: int, size: Size, stride: int = 1, same: bool = True) -> int:
        """Convolution, batch norm, ReLU. Returns how many channels come out."""
        outputs //= self._divisor
        padding = (size[0] // 2, size[1] // 2) if same else (0, 0)
        self.add_module(f"{name}_Conv2D", FrameConv2d(inputs, outputs, size, stride, padding))
        self.add_module(f"{name}_batchnorm", nn.BatchNorm3d(outputs))
        self.add_module(name, nn.ReLU(inplace=True))
        return outputs

    def _add_mixed(self, name: str, inputs: int, mixed: MixedModule) -> int:
        halves, joined = not mixed.projected, 0
        for branch in mixed.branches:
            width, row = inputs, _named(f"{name}{branch.tower}_conv", branch.row)
            for unit, outputs, size in row:
                last = halves and unit == row[-1][0]
                width = self._add(unit, width, outputs, size, 2 if last else 1, same=not last)
            fan = _named(f"{name}{branch.tower}_mixed_conv", branch.fan)
            joined += sum(self._add(unit, width, outputs, size) for unit, outputs, size in fan) or width
        if halves:
            self.add_module(f"{name}_pool", _halved())
            joined += inputs
        else:
            pool = nn.MaxPool3d if mixed.highest else nn.AvgPool3d
            # Zeros never win a maximum of what is not negative. Pooling itself would refuse to pad small maps.
            padded = nn.Sequential(SamePad((1, 3, 3), (1, 1, 1)), pool((1, 3, 3), 1))
            self.add_module(f"{name}_tower_2_pool", padded)
            joined += self._add(f"{name}_tower_2_conv", inputs, mixed.projected, _DOT)
        self.add_module(f"{name}_join", nn.Identity())
        return joined

    def _through(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            for part in (f"{name}_Conv2D", f"{name}_batchnorm", name):
                x = self.get_submodule(part)(x)
        return x

    def _mixed(self, x: Tensor, name: str, mixed: MixedModule) -> Tensor:
        ends: list[Tensor] = []
        for branch in mixed.branches:
            y = self._through(x, *(unit for unit, _, _ in _named(f"{name}{branch.tower}_conv", branch.row)))
            fan = _named(f"{name}{branch.tower}_mixed_conv", branch.fan)
            ends += [self._through(y, unit) for unit, _, _ in fan] or [y]
        if mixed.projected:
            ends.append(self._through(self.get_submodule(f"{name}_tower_2_pool")(x), f"{name}_tower_2_conv"))
        else:
            ends.append(self.get_submodule(f"{name}_pool")(x))
        output: Tensor = self.get_submodule(f"{name}_join")(torch.cat(ends, 1))
        return output


def _named(first: str, row: Row) -> list[tuple[str, int, Size]]:
    """Convolutions with their names: the first one's, and numbers from 1 behind it."""
    return [(f"{first}_{number}" if number else first, *unit) for number, unit in enumerate(row)]


def _halved() -> nn.Module:
    return nn.MaxPool3d((1, 3, 3), (1, 2, 2), ceil_mode=True)
