"""Runs one clip of noise through a loaded model: shows that what loads also runs.

For importing, checking and exporting a model, in the process that does so and without a service. A service that starts
sends its own grey canaries instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actionlens.card import ModelCard
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import ModelError, RequestError
from handlers.relevance import BadClip


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
