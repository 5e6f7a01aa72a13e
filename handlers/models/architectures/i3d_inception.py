"""I3D-Inception (Carreira and Zisserman, 2017), as the widely used PyTorch port names it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from actionlens.card import ColorOrder, Input, Resize, SamplingRule
from handlers.models.family import Checkpoint, Family, Small
from handlers.relevance import SamePad

Triple = tuple[int, int, int]

# Name: (b0, b1a, b1b, b2a, b2b, b3b) channels of a module's branches.
MIXED: dict[str, tuple[int, int, int, int, int, int]] = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}


class Unit(nn.Module):
    """Convolution padded as TensorFlow pads, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: Triple = (1, 1, 1), stride: Triple = (1, 1, 1)) -> None:
        super().__init__()
        self.pad = SamePad(size, stride)
        self.conv3d = nn.Conv3d(inputs, outputs, size, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=0.001)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to [B, C', T', H', W'], not negative."""
        result: Tensor = self.relu(self.bn(self.conv3d(self.pad(x))))
        return result


def _pool(size: Triple, stride: Triple) -> nn.Sequential:
    """Max pooling of values that are not negative, padded with zeros as TensorFlow pads."""
    return nn.Sequential(SamePad(size, stride), nn.MaxPool3d(size, stride))


class InceptionModule(nn.Module):
    """Inception module: four branches side by side."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.b0 = Unit(inputs, b0)
        self.b1a = Unit(inputs, b1a)
        self.b1b = Unit(b1a, b1b, (3, 3, 3))
        self.b2a = Unit(inputs, b2a)
        self.b2b = Unit(b2a, b2b, (3, 3, 3))
        self.b3a = _pool((3, 3, 3), (1, 1, 1))
        self.b3b = Unit(inputs, b3b)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to [B, b0 + b1b + b2b + b3b, T, H, W]."""
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], 1)


class I3DInception(nn.Module):
    """Inception-v1 inflated; time is strided by 8, or by 2 or not at all.

    time_stride: 8 as published; 2 as in "Interpreting video features", where the stem and the pooling before Mixed_4b
    leave time alone, for maps of higher resolution; 1 without any temporal stride, as in the ATR paper. No weight
    depends on it. The classifier reads means of two neighbouring feature steps over the whole frame (7 x 7 at 224
    pixels, as the port has it): these are the rows of relevance. channels: 3 for RGB, 2 for optical
    flow. divisor: of all widths.
    """

    def __init__(self, classes: int, time_stride: Literal[1, 2, 8] = 8, channels: int = 3, divisor: int = 1) -> None:
        super().__init__()
        if time_stride not in (1, 2, 8):
            raise ValueError(f"time_stride: {time_stride} is none of 1, 2, 8")
        stem, early, late = {8: (2, 2, 2), 2: (1, 1, 2), 1: (1, 1, 1)}[time_stride]
        wide = 64 // divisor
        self.Conv3d_1a_7x7 = Unit(channels, wide, (7, 7, 7), (stem, 2, 2))
        self.MaxPool3d_2a_3x3 = _pool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(wide, wide)
        self.Conv3d_2c_3x3 = Unit(wide, 3 * wide, (3, 3, 3))
        self.MaxPool3d_3a_3x3 = _pool((1, 3, 3), (1, 2, 2))
        inputs = 3 * wide
        for name, widths in MIXED.items():
            if name == "4b":
                self.MaxPool3d_4a_3x3 = _pool((3, 3, 3), (early, 2, 2))
            if name == "5b":
                self.MaxPool3d_5a_2x2 = _pool((2, 2, 2), (late, 2, 2))
            own = [width // divisor for width in widths]
            self.add_module(f"Mixed_{name}", InceptionModule(inputs, own))
            inputs = own[0] + own[2] + own[4] + own[5]
        self.avg_pool = nn.AvgPool3d((2, 1, 1), 1)
        self.dropout = nn.Dropout(0.5)
        self.logits = nn.ModuleDict({"conv3d": nn.Conv3d(inputs, classes, 1)})

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, channels, T, H, W] in -1 .. 1 to logits [B, K], the mean over time as the port is evaluated."""
        for name, module in self.named_children():
            if name != "logits":
                clip = module(clip)
        logits: Tensor = self.logits["conv3d"](clip).mean((2, 3, 4))
        return logits


_RGB = Input(
    frames=64,
    height=224,
    width=224,
    resize=Resize.CROP,
    shorter=256,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    sampling=SamplingRule.DENSE,
)
_FLOW = Input(
    frames=64,
    height=224,
    width=224,
    resize=Resize.CROP,
    shorter=256,
    color=ColorOrder.FLOW,
    sampling=SamplingRule.DENSE,
)


def _reported(state: dict[str, Tensor]) -> Checkpoint:
    """Whether the network is one of optical flow, by the channels that its first layer reads."""
    first = next((tensor for name, tensor in state.items() if name.endswith("Conv3d_1a_7x7.conv3d.weight")), None)
    if first is None or first.dim() != 5 or first.shape[1] != 2:
        return Checkpoint(state)
    note = "a network of optical flow: it is shown flow by DIS, the published ones were trained on TV-L1 (docs/flow.md)"
    return Checkpoint(state, {"channels": 2}, _FLOW, notes=(note,))


FAMILY = Family(
    name="i3d-inception",
    summary="Inception-v1 inflated to 3-D, time strided by 8 (or time_stride: 2, 1); RGB or optical flow",
    build=I3DInception,
    layer="Mixed_5c",
    input=_RGB,
    reported=_reported,
    small=Small({"divisor": 16, "time_stride": 2}),
)
