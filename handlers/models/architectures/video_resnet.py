"""R3D-18, MC3-18 and R(2+1)D-18 (Tran et al., 2018), as torchvision names and shapes their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

from torch import Tensor, nn

from actionlens.card import Input, Resize, SamplingRule
from handlers.models.family import Family, Small

Kind = Literal["r3d", "mc3", "r2plus1d"]


class Factored(nn.Sequential):
    """3x3x3 as 1x3x3, batch norm, ReLU, 3x1x1: (2+1)D."""

    def __init__(self, inputs: int, middle: int, outputs: int, stride: int) -> None:
        super().__init__(
            nn.Conv3d(inputs, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, outputs, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
        )


def _convolution(kind: Kind, flat: bool, inputs: int, middle: int, outputs: int, stride: int) -> nn.Module:
    """One convolution of a block. flat: MC3's later stages look at single frames."""
    if kind == "r2plus1d":
        return Factored(inputs, middle, outputs, stride)
    if flat:
        return nn.Conv3d(inputs, outputs, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
    return nn.Conv3d(inputs, outputs, 3, stride, 1, bias=False)


class VideoResNetBlock(nn.Module):
    """Residual block of two convolutions; `stride` acts on time too, except where it is flat."""

    def __init__(self, kind: Kind, flat: bool, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        # Both convolutions have the width that the first needs to have as many parameters as a full one.
        middle = inputs * outputs * 27 // (inputs * 9 + 3 * outputs)
        first = _convolution(kind, flat, inputs, middle, outputs, stride)
        second = _convolution(kind, flat, outputs, middle, outputs, 1)
        self.conv1 = nn.Sequential(first, nn.BatchNorm3d(outputs), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(second, nn.BatchNorm3d(outputs))
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            steps = (1 if flat else stride, stride, stride)
            self.downsample = nn.Sequential(nn.Conv3d(inputs, outputs, 1, steps, bias=False), nn.BatchNorm3d(outputs))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to [B, C', T', H', W']."""
        y: Tensor = self.conv2(self.conv1(x))
        y = y + (x if self.downsample is None else self.downsample(x))
        result: Tensor = self.relu(y)
        return result


class VideoResNet(nn.Module):
    """18 layers; time is strided by 8 (R3D, R(2+1)D) or not at all (MC3); global average, linear head.

    widths: channels of the stem and first stage, and of the three after it; the published ones by default.
    """

    def __init__(self, classes: int, kind: Kind, widths: Sequence[int] = (64, 128, 256, 512)) -> None:
        super().__init__()
        first = widths[0]
        if kind == "r2plus1d":
            middle = 45 * first // 64
            self.stem = nn.Sequential(
                nn.Conv3d(3, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
                nn.BatchNorm3d(middle),
                nn.ReLU(inplace=True),
                nn.Conv3d(middle, first, (3, 1, 1), 1, (1, 0, 0), bias=False),
                nn.BatchNorm3d(first),
                nn.ReLU(inplace=True),
            )
        else:
            self.stem = nn.Sequential(
                nn.Conv3d(3, first, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False),
                nn.BatchNorm3d(first),
                nn.ReLU(inplace=True),
            )
        inputs = first
        for stage, outputs in enumerate(widths, start=1):
            flat = kind == "mc3" and stage > 1
            opening = VideoResNetBlock(kind, flat, inputs, outputs, 1 if stage == 1 else 2)
            self.add_module(f"layer{stage}", nn.Sequential(opening, VideoResNetBlock(kind, flat, outputs, outputs, 1)))
            inputs = outputs
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, H, W], T >= 1, H and W >= 16, to logits [B, K]."""
        for name, module in self.named_children():
            if name != "fc":
                clip = module(clip)
        logits: Tensor = self.fc(clip.flatten(1))
        return logits


# As torchvision evaluates them: 16 frames at 15 per second, the middle 112 x 112 of 128 x 171 (into which it presses
# frames of any shape; here they keep theirs).
INPUT = Input(
    frames=16,
    height=112,
    width=112,
    resize=Resize.CROP,
    shorter=128,
    mean=(0.43216, 0.394666, 0.37645),
    std=(0.22803, 0.22145, 0.216989),
    sampling=SamplingRule.RATE,
    fps=15,
    stride=2,  # of live windows, and of clips whose rate is not known: as of 30 frames a second
)


def _family(kind: Kind, name: str, summary: str) -> Family:
    small = Small({"widths": [4, 6, 8, 8]}, frames=8)
    return Family(name, summary, partial(VideoResNet, kind=kind), layer="layer4", input=INPUT, small=small)


FAMILIES = (
    _family("r3d", "r3d-18", "ResNet-18 of 3x3x3 convolutions, time strided by 8 (torchvision r3d_18)"),
    _family("mc3", "mc3-18", "ResNet-18, 3x3x3 convolutions in its first stage, then frame by frame (mc3_18)"),
    _family("r2plus1d", "r2plus1d-18", "ResNet-18 of (2+1)D convolutions, time strided by 8 (r2plus1d_18)"),
)
