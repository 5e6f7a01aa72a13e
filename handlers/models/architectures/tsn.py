"""Temporal segment network (TSN): the mean of what a 2-D CNN says about single frames."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from handlers.models.blocks.consensus import AverageConsensus
from handlers.models.blocks.frame_cnn import FrameCNN
from handlers.models.family import Family, Small


class TSN(nn.Module):
    """Frame by frame to features and logits; the clip's logits are their mean. Takes clips of any length.

    channels, cells, width: see FrameCNN.
    """

    snippet = 1

    def __init__(
        self, classes: int, channels: Sequence[int] = (16, 32, 48, 64), cells: int = 4, width: int = 64
    ) -> None:
        super().__init__()
        self.backbone = FrameCNN(channels, cells, width)
        self.consensus = AverageConsensus(width, classes)

    def frame_features(self, clips: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to [B, T, D]."""
        features: Tensor = self.backbone(clips)
        return features

    def forward(self, clips: Tensor) -> Tensor:
        """float [B, 3, T, H, W], any T, to logits [B, K]."""
        logits: Tensor = self.consensus(self.frame_features(clips))
        return logits


FAMILY = Family(
    name="tsn",
    summary="frame-wise 2-D CNN, the mean of the frames' logits; clips of any length",
    build=TSN,
    layer="backbone.features",
    most_frames=64,
    small=Small({"channels": [4, 6], "cells": 2, "width": 6}),
)
