"""The objective of a mask: the target's probability, and where the clip should change to raise or lower it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handlers.relevance import Network


@dataclass(frozen=True)
class Score:
    """The target's probability; with a contrast, among these two classes alone."""

    network: Network
    target: int
    contrast: int | None = None

    def probability(self, clips: Tensor) -> Tensor:
        """[N] of clips [N, C, T, H, W]."""
        logits = self.network.forward(clips, relevance=False).logits
        return self._among(logits).softmax(1)[:, self.target]

    def gradient(self, clips: Tensor, wanted: bool) -> tuple[Tensor, Tensor]:
        """([N] probabilities, [N, C, T, H, W] gradient of log p, or of log(1 - p) where the class is not wanted).

        The logarithms have their maxima where p has, and do not go flat where p is far from it. The network
        carries gradients of the clip alone, none of weights, and the caller's module is not involved.
        """
        forward = self.network.forward(clips)
        logits = self._among(forward.logits)
        own = torch.zeros_like(logits)
        own[:, self.target] = 1.0
        slopes = own if wanted else logits.masked_fill(own.bool(), -torch.inf).softmax(1)
        shares = logits.softmax(1)
        return shares[:, self.target], forward.gradient("", slopes - shares)

    def _among(self, logits: Tensor) -> Tensor:
        if self.contrast is None:
            return logits
        others = torch.ones_like(logits, dtype=torch.bool)
        others[:, [self.target, self.contrast]] = False
        return logits.masked_fill(others, -torch.inf)
