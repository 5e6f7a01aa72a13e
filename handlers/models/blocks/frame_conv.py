"""Two-dimensional layers on clips, every frame by itself."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class FrameConv2d(nn.Conv2d):
    """A Conv2d, with its names and shapes, for clips [B, C, T, H, W].

    The usual way, frames folded into the batch, would hide time from relevance propagation.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to [B, C', T, H', W']."""
        assert not isinstance(self.padding, str)
        weight, stride, padding = self.weight.unsqueeze(2), (1, *self.stride), (0, *self.padding)
        return F.conv3d(x, weight, self.bias, stride, padding, (1, *self.dilation), self.groups)


class FrameLinear(nn.Linear):
    """A Linear, with its names and shapes, on the whole maps of the frames of a clip [B, C, T, H, W]."""

    def __init__(self, channels: int, side: int, outputs: int) -> None:
        super().__init__(channels * side * side, outputs)
        self.map = (side, side)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, side, side] to [B, K, T, 1, 1]."""
        # As a convolution of single frames, so that time stays an axis that relevance knows.
        weight = self.weight.view(self.out_features, -1, 1, *self.map)
        return F.conv3d(x, weight, self.bias)
