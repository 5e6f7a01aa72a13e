"""Runs one clip of noise through a loaded model: shows that what loads also runs.

For importing, checking and exporting a model, in the process that does so and without a service. A service that starts
sends its own grey canaries instead.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from actionlens.card import ModelCard, Scores
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import ModelError, RequestError
from handlers.models.action_model import ActionModel
from handlers.relevance import BadClip
from handlers.scores import probe_clips, recognised, unclear


def noise(card: ModelCard) -> NDArray[np.uint8]:
    """Make a clip of uniform noise (seed 0) as the model takes it: uint8 [T, H, W, 3]."""
    shape = (card.input.frames, card.input.height, card.input.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def answer_noise(engine: Engine, methods: tuple[MethodCall, ...] = ()) -> ClipAnswer:
    """Answer a clip of noise, with these methods.

    Raises ModelError naming the part of the card that does not fit when the network cannot run on its own input, gives
    another number of logits than there are labels, or logits that are not finite.
    """
    card = engine.model.card
    clip = noise(card)
    (answer,) = engine.explain([ClipRequest(clip, methods)])
    if isinstance(answer, RequestError):
        if isinstance(answer.__cause__, RuntimeError | BadClip):
            error = answer.__cause__
            raise ModelError(f"input: the network cannot run on {list(clip.shape)}: {error}") from error
        raise ModelError(f"weights: {answer.message}")
    if answer.logits.shape != (len(card.labels),):
        raise ModelError(f"labels: {len(card.labels)} labels, but the network gives {list(answer.logits.shape)}")
    return answer


def recognise_scores(model: ActionModel) -> tuple[Scores, str]:
    """Find what the network of a model puts out, by its graph or its numbers on a few clips, and what to say about it.

    A card that says so is believed.
    """
    card = model.card
    if model.scores is not Scores.LOGITS:
        said = f"what makes {model.scores} of its logits is left out: explanations start at the logits"
        return model.scores, "" if card.scores else said
    if card.scores is Scores.LOGITS:
        return Scores.LOGITS, ""
    clips = probe_clips(2 if model.takes_flow else 3, card.input.frames, card.input.height, card.input.width)
    with torch.no_grad():
        rows = torch.cat([model.module(clip[None]).float() for clip in clips])
    found, _ = recognised(rows)
    match found:
        case Scores.PROBABILITIES:
            said = (
                "its scores are probabilities by their numbers (no negative ones, every clip's sum to 1): predictions "
                "are shown as they are, explanations are of their logarithm; if they are logits, write scores: "
                "logits in the card"
            )
        case Scores.LOG_PROBABILITIES:
            said = "it puts out log-probabilities, and explanations are of them"
        case _:
            said = unclear(rows)
    return found, said
