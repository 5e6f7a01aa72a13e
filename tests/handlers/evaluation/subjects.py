"""Subjects of a tiny network for the tests of measures."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from handlers.evaluation.subject import GroundTruth, Subject
from handlers.explainers.attribution import SaliencyVolume, Target
from handlers.models.action_model import ActionModel
from tests.handlers import networks


def subject(
    *,
    model: ActionModel | None = None,
    clip: NDArray[np.uint8] | None = None,
    target: int | None = None,
    seed: int = 3,
    truth: GroundTruth | None = None,
    visible: tuple[int, int, int, int] | None = None,
) -> Subject:
    """A clip of 6 x 12 x 16 and a network with random weights, unless others are given."""
    model = networks.model() if model is None else model
    clip = networks.clip() if clip is None else clip
    logits = model.program.forward(model.prepare([clip]), (), relevance=False).logits[0]
    index = int(logits.argmax()) if target is None else target
    return Subject(model, clip, logits, Target(index), seed, truth or GroundTruth(), visible)


def saliency(values: torch.Tensor, mask: torch.Tensor | None = None, undefined: str = "") -> SaliencyVolume:
    return SaliencyVolume(values, tuple(map(float, range(len(values)))), mask=mask, undefined=undefined)
