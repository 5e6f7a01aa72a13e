"""Two-dimensional convolutions on clips, every frame by itself."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class FrameConv2d(nn.Conv2d):
    """A Conv2d, with its names and shapes, for clips [B, C, T, H, W].

    The usual way, frames folded into the batch, would hide time from relevance propagation.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to [B, C', T, H', W']."""
        (h, w), (top, left) = self.stride, self.padding
        return F.conv3d(
            x,
            self.weight.unsqueeze(2),
            self.bias,
            (1, h, w),
            (0, int(top), int(left)),
            (1, *self.dilation),
            self.groups,
        )
