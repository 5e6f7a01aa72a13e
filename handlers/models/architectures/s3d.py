"""S3D (Xie et al., 2018), as torchvision names it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from handlers.models.architectures.i3d_inception import MIXED
from handlers.models.architectures.video_resnet import INPUT
from handlers.models.family import Family, Small

Triple = tuple[int, int, int]


def _unit(inputs: int, outputs: int, size: Triple = (1, 1, 1), stride: Triple = (1, 1, 1)) -> nn.Sequential:
    """Convolution padded by half its size, batch norm, ReLU."""
    padding = (size[0] // 2, size[1] // 2, size[2] // 2)
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, size, stride, padding, bias=False),
        nn.BatchNorm3d(outputs, eps=0.001),
        nn.ReLU(inplace=True),
    )


def _separable(inputs: int, outputs: int, size: int, stride: int = 1, step: int = 1) -> nn.Sequential:
    """Space, then time, with a stride each."""
    return nn.Sequential(
        _unit(inputs, outputs, (1, size, size), (1, stride, stride)),
        _unit(outputs, outputs, (size, 1, 1), (step, 1, 1)),
    )


class SeparableInceptionModule(nn.Module):
    """Inception module of separable convolutions: four branches side by side."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.branch0 = _unit(inputs, b0)
        self.branch1 = nn.Sequential(_unit(inputs, b1a), _separable(b1a, b1b, 3))
        self.branch2 = nn.Sequential(_unit(inputs, b2a), _separable(b2a, b2b, 3))
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, 1, 1), _unit(inputs, b3b))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to [B, b0 + b1b + b2b + b3b, T, H, W]."""
        return torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)], 1)


class S3D(nn.Module):
    """Inception-v1 in 3-D, convolutions separated; time is strided by 8.

    temporal_pooling: False takes stride and pooling out of time, so that time steps are frames. No weight depends on
    it. The classifier reads means of two neighbouring feature steps over the whole frame (7 x 7 at 224 pixels, as
    published): these are the rows of relevance. divisor: of all widths.
    """

    def __init__(self, classes: int, temporal_pooling: bool = True, divisor: int = 1) -> None:
        super().__init__()
        step = 2 if temporal_pooling else 1
        wide = 64 // divisor
        features: list[nn.Module] = [
            _separable(3, wide, 7, 2, step),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            _unit(wide, wide),
            _separable(wide, 3 * wide, 3),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        ]
        inputs = 3 * wide
        for name, widths in MIXED.items():
            if name == "4b":
                features.append(nn.MaxPool3d(3, (step, 2, 2), 1))
            if name == "5b":
                features.append(nn.MaxPool3d((step, 2, 2)))
            own = [width // divisor for width in widths]
            features.append(SeparableInceptionModule(inputs, own))
            inputs = own[0] + own[2] + own[4] + own[5]
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AvgPool3d((2, 1, 1), 1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Conv3d(inputs, classes, 1))

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, H, W], T >= 16 (2 without temporal pooling), to logits [B, K]."""
        logits: Tensor = self.classifier(self.avgpool(self.features(clip))).mean((2, 3, 4))
        return logits


FAMILY = Family(
    name="s3d",
    summary="Inception-v1 in 3-D with space and time separated, time strided by 8 (torchvision s3d)",
    build=S3D,
    layer="features",
    # As it is trained; its published accuracy is that of clips of 128 frames.
    input=INPUT.model_copy(update={"frames": 64, "height": 224, "width": 224, "shorter": 256}),
    small=Small({"divisor": 16, "temporal_pooling": False}),
)
