"""TAM2D-ResNet (Fan et al., 2019): frames mixed channel by channel, as IBM's action-recognition-pytorch names it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handlers.errors import ModelError
from handlers.models.blocks.frame_conv import FrameConv2d
from handlers.models.blocks.resnet import INPUT, Classifier
from handlers.models.family import Checkpoint, Family, Small


class Blend(nn.Module):
    """The weights of one neighbouring frame, a 1x1 convolution named fc1."""

    def __init__(self, channels: int, depthwise: bool) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels, 1, groups=channels if depthwise else 1, bias=False)


class TemporalAggregation(nn.Module):
    """ReLU of the weighted sum over the neighbouring frames, frames outside the clip being 0.

    The published code weighs and shifts; that is one convolution over time, and is computed and explained as such.
    frames: 3, 5 or 7. depthwise: every channel by itself.
    """

    def __init__(self, channels: int, frames: int, depthwise: bool) -> None:
        super().__init__()
        if frames == 3:
            self.prev_se = Blend(channels, depthwise)
            self.next_se = Blend(channels, depthwise)
            self.curr_se = Blend(channels, depthwise)
        else:
            self.blending_layers = nn.ModuleList(Blend(channels, depthwise) for _ in range(frames))
        self.frames = frames
        self.groups = channels if depthwise else 1
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to the same shape, not negative."""
        layers = (self.prev_se, self.curr_se, self.next_se) if self.frames == 3 else self.blending_layers
        weight = torch.stack([layer.fc1.weight for layer in layers if isinstance(layer, Blend)], 2)
        result: Tensor = self.relu(F.conv3d(x, weight, None, 1, (self.frames // 2, 0, 0), 1, self.groups))
        return result


class TAMResNet(Classifier):
    """A 2-D ResNet with temporal aggregation before every block's first convolution.

    kernel: frames that it mixes, 3, 5 or 7. depthwise: the published default; False mixes channels too.
    temporal_pooling: "max" or "average" pooling of 3 frames at a stride of 2 behind each of the first three stages, an
    option of the published code; "none" (the ATR paper's) gives every frame its own logits. widths: of the stages.
    """

    def __init__(
        self,
        classes: int,
        depth: int = 50,
        kernel: int = 3,
        depthwise: bool = True,
        temporal_pooling: Literal["none", "max", "average"] = "none",
        widths: Sequence[int] = (64, 128, 256, 512),
    ) -> None:
        if kernel not in (3, 5, 7):
            raise ValueError(f"kernel: {kernel} is none of 3, 5, 7")
        pools = {"none": None, "max": nn.MaxPool3d, "average": nn.AvgPool3d}
        if temporal_pooling not in pools:
            raise ValueError(f"temporal_pooling: {temporal_pooling!r} is none of {', '.join(pools)}")

        def convolution(inputs: int, outputs: int, size: int, stride: int) -> nn.Module:
            return FrameConv2d(inputs, outputs, size, stride, size // 2, bias=False)

        def between() -> nn.Module:
            pool = pools[temporal_pooling]
            return nn.Identity() if pool is None else pool((3, 1, 1), (2, 1, 1), (1, 0, 0))

        tam = partial(TemporalAggregation, frames=kernel, depthwise=depthwise)
        stem = FrameConv2d(3, widths[0], 7, 2, 3, bias=False)
        super().__init__(classes, depth, stem, convolution, widths, tam, between)


_BLENDING = re.compile(r"(?:^|\.)layer1\.0\.tam\.(?:prev_se|curr_se|next_se|blending_layers\.\d+)\.fc1\.weight$")


def _reported(state: dict[str, Tensor]) -> Checkpoint:
    """How many frames are mixed and whether channels are, by the first aggregation; a pooling has no tensors."""
    found = [tensor for name, tensor in state.items() if _BLENDING.search(name) and tensor.dim() == 4]
    if len(found) not in (3, 5, 7):
        return Checkpoint(state)
    return Checkpoint(state, {"kernel": len(found), "depthwise": found[0].shape[1] == 1})


_BLENDED = re.compile(r"TAM-b\d+-(?P<blending>[a-z]+)")
_POOLED = re.compile(r"resnet-\d+-ts(?:-(?P<pooling>[a-z]+))?(?![a-zA-Z0-9])")
_POOLINGS = {"max": "max", "avg": "average"}


def _described(name: str) -> Mapping[str, Any]:
    """The temporal pooling, by a name such as "kinetics400-rgb-TAM-b3-sum-resnet-50-ts-max-f16".

    Raises ModelError for neighbouring frames that are not summed, and for another pooling.
    """
    blended = _BLENDED.search(name)
    if blended and blended["blending"] != "sum":
        raise ModelError(
            f"weights: {name!r} blends neighbouring frames by {blended['blending']!r}; TAM-ResNets of this service sum "
            "them, and no tensor differs"
        )
    pooled = _POOLED.search(name)
    if pooled is None:
        return {}
    pooling = pooled["pooling"] or "none given"
    if pooling not in _POOLINGS:
        known = ", ".join(f"-ts-{known}" for known in _POOLINGS)
        raise ModelError(f"weights: {name!r} pools over time (-ts) by {pooling!r}; known are {known}")
    return {"temporal_pooling": _POOLINGS[pooling]}


FAMILIES = tuple(
    Family(
        f"tam-resnet{depth}",
        f"2-D ResNet-{depth} whose blocks mix neighbouring frames (IBM action-recognition-pytorch, TAM)",
        partial(TAMResNet, depth=depth),
        layer="layer4",
        input=INPUT,
        reported=_reported,
        described=_described,
        small=Small({"widths": [4, 6, 8, 8]}),
    )
    for depth in (18, 50)
)
