"""The score that a method explains, one number per clip."""

from __future__ import annotations

import torch
from torch import Tensor

from handlers.explainers.explainer import P
from handlers.explainers.iteration import Question
from handlers.relevance.program import autograd_bridge as differentiable


class Objective:
    """The score of a question's target as a function of clips, differentiable in the clips."""

    def __init__(self, question: Question[P]) -> None:
        self._program = question.model.program
        self._target = question.target
        self.whole = float(self._logit(question.logits[None]))
        """logit() of the clip in question."""
        self.certainty = float(self._probability(question.logits[None]))
        """probability() of the clip in question."""

    def logit(self, clips: Tensor) -> Tensor:
        """[B] of prepared clips [B, 3, T, H, W]: the target's logit, or its lead over the contrast."""
        return self._logit(differentiable.logits(self._program, clips))

    def probability(self, clips: Tensor) -> Tensor:
        """[B] in 0 .. 1: the target's softmax score; with a contrast, its share of the two classes' probability."""
        return self._probability(differentiable.logits(self._program, clips))

    def _logit(self, logits: Tensor) -> Tensor:
        score = logits[:, self._target.index]
        return score if self._target.contrast is None else score - logits[:, self._target.contrast]

    def _probability(self, logits: Tensor) -> Tensor:
        if self._target.contrast is None:
            return logits.softmax(1)[:, self._target.index]
        return torch.sigmoid(self._logit(logits))
