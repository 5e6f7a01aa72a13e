"""Plain 3-D CNN: blocks of [3x3x3 convolution, ReLU] with max pooling between, global average, dense head."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from handlers.models.family import Family, Small


class Conv3dStack(nn.Module):
    """3x3x3 convolutions with ReLU, 2x2x2 max pooling (partial windows kept) between blocks, a dense head.

    classes: K. channels: one block per number. hidden: widths of the ReLU layers before the last linear layer.
    Parameters are named conv1, conv2, ... and fc1, fc2, ...
    """

    def __init__(self, classes: int, channels: Sequence[int] = (32, 64, 128), hidden: Sequence[int] = (128,)) -> None:
        super().__init__()
        features: dict[str, nn.Module] = {}
        width = 3
        for index, out in enumerate(channels, start=1):
            if index > 1:
                features[f"pool{index - 1}"] = nn.MaxPool3d(2, ceil_mode=True)
            features[f"conv{index}"] = nn.Conv3d(width, out, 3, padding=1)
            features[f"relu{index}"] = nn.ReLU()
            width = out
        features["features"] = nn.Identity()
        features["average"] = nn.AdaptiveAvgPool3d(1)
        features["flatten"] = nn.Flatten(1)
        widths = [width, *hidden, classes]
        for index, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
            if index > 1:
                features[f"fc_relu{index - 1}"] = nn.ReLU()
            features[f"fc{index}"] = nn.Linear(fan_in, fan_out)
        for name, module in features.items():
            self.add_module(name, module)

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to logits [B, K]."""
        for module in self.children():
            clip = module(clip)
        return clip


FAMILY = Family(
    name="conv3d",
    summary="blocks of [Conv3d 3x3x3, ReLU], max pooling between, global average, dense head",
    build=Conv3dStack,
    layer="features",
    small=Small({"channels": [4, 6], "hidden": [5]}),
)
