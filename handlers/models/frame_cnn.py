"""A small 2-D CNN that looks at every frame of a clip by itself."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class FrameCNN(nn.Module):
    """Features of single frames.

    channels: one block [3 x 3 convolution with a stride of 2, batch norm, ReLU] per number. cells: the map is averaged
    to cells x cells, which then become one vector by a weight per cell: so the features know where in the frame things
    are. width: D, their number. Nothing rectifies them: what two frames share cancels in the difference of their
    features. Convolutions are Conv3d of one frame's depth: the clip stays [B, C, T, H, W].
    """

    def __init__(self, channels: Sequence[int], cells: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for after in channels:
            layers += [
                nn.Conv3d(before, after, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), bias=False),
                nn.BatchNorm3d(after),
                nn.ReLU(inplace=True),
            ]
            before = after
        self.features = nn.Sequential(*layers)
        self.cells = nn.AdaptiveAvgPool3d((None, cells, cells))
        self.vector = nn.Sequential(nn.Conv3d(before, width, (1, cells, cells), bias=False), nn.BatchNorm3d(width))

    def forward(self, clips: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to [B, T, D]."""
        vectors: Tensor = self.vector(self.cells(self.features(clips)))
        return vectors.flatten(2).transpose(1, 2)
