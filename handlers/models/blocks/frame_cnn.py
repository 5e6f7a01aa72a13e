"""A small 2-D CNN that looks at every frame, or at every few frames, of a clip by itself."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from handlers.models.blocks.consensus import FrameModel
from handlers.relevance import SamePad


class FrameCNN(nn.Module):
    """Features of single frames, or of snippets of a few frames.

    channels: one block [3 x 3 convolution with a stride of 2, batch norm, ReLU] per number. cells: the map is averaged
    to cells x cells, which then become one vector by a weight per cell: so the features know where in the frame things
    are. width: D, their number. Nothing rectifies them: what two frames share cancels in the difference of their
    features. snippet: frames that the first convolution takes as one image; the last one is filled up with zeros (the
    mean colour). Convolutions behind that are Conv3d of one frame's depth: the clip stays [B, C, T, H, W].
    """

    def __init__(self, channels: Sequence[int], cells: int, width: int, snippet: int = 1) -> None:
        super().__init__()
        self.snippet = snippet
        self.whole = nn.Identity() if snippet == 1 else SamePad((snippet, 1, 1), (snippet, 1, 1))
        layers: list[nn.Module] = []
        before, depth = 3, snippet
        for after in channels:
            layers += [
                nn.Conv3d(before, after, (depth, 3, 3), stride=(depth, 2, 2), padding=(0, 1, 1), bias=False),
                nn.BatchNorm3d(after),
                nn.ReLU(inplace=True),
            ]
            before, depth = after, 1
        self.features = nn.Sequential(*layers)
        self.cells = nn.AdaptiveAvgPool3d((None, cells, cells))
        self.vector = nn.Sequential(nn.Conv3d(before, width, (1, cells, cells), bias=False), nn.BatchNorm3d(width))

    def forward(self, clips: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to [B, ceil(T / snippet), D]."""
        return self.vectors(self.maps(clips))

    def maps(self, clips: Tensor) -> Tensor:
        """The last layer's [B, C, ceil(T / snippet), H', W']."""
        maps: Tensor = self.features(self.whole(clips))
        return maps

    def vectors(self, maps: Tensor) -> Tensor:
        """The features of such maps, [B, ceil(T / snippet), D]."""
        vectors: Tensor = self.vector(self.cells(maps))
        return vectors.flatten(2).transpose(1, 2)


class FrameCNNModel(FrameModel):
    """A FrameCNN as the backbone of a frame model. Takes clips of any length."""

    def __init__(self, backbone: FrameCNN, consensus: nn.Module) -> None:
        super().__init__()
        self.snippet = backbone.snippet
        self.backbone = backbone
        self.consensus = consensus

    def frame_features(self, clips: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to [B, ceil(T / snippet), D]."""
        features: Tensor = self.backbone(clips)
        return features
