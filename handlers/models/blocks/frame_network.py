"""Networks that look at frames one by one, on the two-dimensional backbones of the public checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from actionlens.card import ColorOrder, Input, Resize, SamplingRule
from handlers.models.blocks.bn_inception import BNInception
from handlers.models.blocks.consensus import FrameModel
from handlers.models.blocks.frame_conv import FrameConv2d, FrameLinear
from handlers.models.blocks.inception_v3 import InceptionV3
from handlers.models.blocks.resnet import INPUT, Trunk

# Pixels of 0 .. 255 in blue, green, red minus these means, as the Inceptions from Caffe take them.
_CAFFE = Input(
    frames=8,
    height=224,
    width=224,
    resize=Resize.CROP,
    shorter=256,
    color=ColorOrder.BGR,
    mean=(104 / 255, 117 / 255, 128 / 255),
    std=(1 / 255, 1 / 255, 1 / 255),
    sampling=SamplingRule.SEGMENTS,
)

Base = BNInception | InceptionV3 | Trunk


@dataclass(frozen=True)
class Backbone:
    """build: called with the divisor of all widths. layer: its last map. input: what it was trained with. smallest: the
    side of small frames that it can be tried on."""

    build: Callable[[int], Base]
    layer: str
    input: Input
    smallest: int = 32


def _resnet(divisor: int, depth: int) -> Trunk:
    def convolution(inputs: int, outputs: int, size: int, stride: int) -> nn.Module:
        return FrameConv2d(inputs, outputs, size, stride, size // 2, bias=False)

    widths = [width // divisor for width in (64, 128, 256, 512)]
    return Trunk(depth, FrameConv2d(3, widths[0], 7, 2, 3, bias=False), convolution, widths)


BACKBONES = {
    "bninception": Backbone(BNInception, "inception_5b_output", _CAFFE),
    "inceptionv3": Backbone(
        InceptionV3,
        "mixed_10_join",
        _CAFFE.model_copy(update={"height": 299, "width": 299, "shorter": 341}),
        smallest=69,
    ),
    "resnet50": Backbone(partial(_resnet, depth=50), "layer4", INPUT),
    "resnet101": Backbone(partial(_resnet, depth=101), "layer4", INPUT),
}
"""By the name that families have them by."""


class FrameNetwork(FrameModel):
    """A backbone, the mean over the frame, a linear layer where there is one, and what makes logits of all frames.

    consensus: from features [B, T, D] to logits [B, K]. width: D after the linear layer `new_fc`; 0: there is none, and
    D is what the backbone has. rectified: features are not negative. Dropout acts in training alone and is left out.
    """

    def __init__(self, base: Base, consensus: nn.Module, width: int = 0, rectified: bool = False) -> None:
        super().__init__()
        self.base_model = base
        self.new_fc = FrameLinear(base.outputs, 1, width) if width else nn.Identity()
        self.relu = nn.ReLU() if rectified else nn.Identity()
        self.consensus = consensus

    def frame_features(self, clips: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to [B, T, D]."""
        vectors: Tensor = self.relu(self.new_fc(self.base_model.features(clips).mean((3, 4), keepdim=True)))
        return vectors.flatten(2).transpose(1, 2)
