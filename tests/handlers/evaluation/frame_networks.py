"""Small models that look at frames one by one, and subjects of them."""

from __future__ import annotations

import torch

from handlers.evaluation.subject import GroundTruth, Subject
from handlers.explainers.attribution import Target
from handlers.models.action_model import ActionModel
from tests.handlers.models.architectures.test_frame_models import SMALL
from tests.handlers.networks import clip, model


def relational(**changes: object) -> ActionModel:
    """A TRN of three classes."""
    return model(architecture="trn", arguments={**SMALL, "hidden": 7, "scales": 3}, layer="", **changes)


def average(**changes: object) -> ActionModel:
    """A TSN of three classes."""
    return model(architecture="tsn", arguments=SMALL, layer="", **changes)


def subject_of(
    asked: ActionModel, frames: int = 6, target: int = 1, label: int | None = None, seed: int = 0, clip_seed: int = 0
) -> Subject:
    pixels = clip(clip_seed, frames)
    with torch.no_grad():
        (logits,) = asked.module(asked.prepare([pixels]))
    return Subject(asked, pixels, logits, Target(target), seed, GroundTruth(label=label))
