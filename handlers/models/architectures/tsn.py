"""Temporal segment network (TSN): the mean of what a 2-D CNN says about single frames."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from handlers.models.blocks.consensus import AverageConsensus
from handlers.models.blocks.frame_cnn import FrameCNN, FrameCNNModel
from handlers.models.family import Family, Small


class TSN(FrameCNNModel):
    """Frame by frame to features and logits; the clip's logits are their mean. Takes clips of any length.

    channels, cells, width, snippet: see FrameCNN.
    """

    def __init__(
        self,
        classes: int,
        channels: Sequence[int] = (16, 32, 48, 64),
        cells: int = 4,
        width: int = 64,
        snippet: int = 1,
    ) -> None:
        super().__init__(FrameCNN(channels, cells, width, snippet), AverageConsensus(nn.Linear(width, classes)))


FAMILY = Family(
    name="tsn",
    summary="frame-wise 2-D CNN, the mean of the frames' logits; clips of any length",
    build=TSN,
    layer="backbone.features",
    most_frames=64,
    small=Small({"channels": [4, 6], "cells": 2, "width": 6}),
)
