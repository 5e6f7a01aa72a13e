"""Multi-scale temporal relation network (TRN; Play Fair, 2.2) on a small 2-D CNN."""

from __future__ import annotations

from collections.abc import Sequence

from handlers.models.blocks.consensus import RelationalConsensus
from handlers.models.blocks.frame_cnn import FrameCNN, FrameCNNModel
from handlers.models.family import Family, Small


class MultiScaleTRN(FrameCNNModel):
    """Frame by frame to features, then one small network per number of frames, over all ordered subsequences.

    Takes clips of any length; trained best at `scales` snippets. channels, cells, width, snippet: see FrameCNN. hidden:
    units of every scale. scales: the most snippets that are compared at once.
    """

    def __init__(
        self,
        classes: int,
        channels: Sequence[int] = (16, 32, 48, 64),
        cells: int = 4,
        width: int = 64,
        hidden: int = 64,
        scales: int = 8,
        snippet: int = 1,
    ) -> None:
        backbone = FrameCNN(channels, cells, width, snippet)
        super().__init__(backbone, RelationalConsensus(width, hidden, classes, scales))


FAMILY = Family(
    name="trn",
    summary="frame-wise 2-D CNN, then relations between 1 to n frames (multi-scale TRN); clips of any length",
    build=MultiScaleTRN,
    layer="backbone.features",
    most_frames=64,
    small=Small({"channels": [4, 6], "cells": 2, "width": 6, "hidden": 5, "scales": 3}),
)
