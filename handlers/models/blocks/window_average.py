"""A network of short clips that is shown several windows of a longer one, and the mean of what it says about them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from handlers.models.blocks.consensus import AverageConsensus, FrameModel
from handlers.relevance import Whole


class WindowAverage(FrameModel, Whole):
    """The mean of the logits of consecutive parts of a clip, each by itself, as clip scores are averaged.

    network: maps float [B, C, T, H, W] to logits [B, K]. frames: T of one window.
    """

    axes = 2
    no_rule = "it averages the scores of several windows, which esv explains; windows: 1 in a card explains within one"
    called = "window"

    def __init__(self, network: nn.Module, frames: int) -> None:
        super().__init__()
        self.network = network
        self.snippet = frames
        self.consensus = AverageConsensus(nn.Identity())

    def frame_features(self, clips: Tensor) -> Tensor:
        """float [B, C, N * T, H, W] to [B, N, K], the windows' own logits."""
        frames = clips.shape[2]
        # One window after another: all at once would take N times the memory of the network's own clips.
        logits = [self.network(clips[:, :, first : first + self.snippet]) for first in range(0, frames, self.snippet)]
        return torch.stack(logits, 1)
