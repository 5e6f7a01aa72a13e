"""I3D-ResNet: a ResNet of 3x3x3 convolutions (Chen et al., 2021), as IBM's action-recognition-pytorch names it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from handlers.models.blocks.resnet import INPUT, Classifier
from handlers.models.family import Family, Small


class I3DResNet(Classifier):
    """Stem of 3x7x7 and blocks of 3x3x3 convolutions; per-frame logits everywhere.

    temporal_pooling: stride time by 2 at the second, third and fourth stage. The ATR paper leaves it out: it hurts
    accuracy, and without it every frame has its own logits. widths: of the stages, 64 .. 512 as published.
    """

    def __init__(
        self,
        classes: int,
        depth: int = 50,
        temporal_pooling: bool = False,
        widths: Sequence[int] = (64, 128, 256, 512),
    ) -> None:
        def convolution(inputs: int, outputs: int, size: int, stride: int) -> nn.Module:
            steps = (stride if temporal_pooling else 1, stride, stride)
            return nn.Conv3d(inputs, outputs, size, steps, size // 2, bias=False)

        stem = nn.Conv3d(3, widths[0], (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
        super().__init__(classes, depth, stem, convolution, widths)


_STRIDED = re.compile(r"i3d-resnet-\d+-ts(?![a-zA-Z0-9])")


def _described(name: str) -> Mapping[str, Any]:
    """Whether time is strided, by a name such as "kinetics400-rgb-i3d-resnet-50-ts-f32"."""
    return {"temporal_pooling": True} if _STRIDED.search(name) else {}


FAMILIES = tuple(
    Family(
        f"i3d-resnet{depth}",
        f"ResNet-{depth} of 3x3x3 convolutions, time strided only where asked (IBM action-recognition-pytorch)",
        partial(I3DResNet, depth=depth),
        layer="layer4",
        input=INPUT,
        described=_described,
        small=Small({"widths": [4, 6, 8, 8]}),
    )
    for depth in (18, 50, 101)
)
