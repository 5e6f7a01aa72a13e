"""Clips whose frames have changed places or pixels, run in batches that bound the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from handlers.evaluation.common.perturbed_clips import batch_of
from handlers.evaluation.measure import LeftOut
from handlers.models.action_model import ActionModel
from handlers.relevance import Pass


def passes(model: ActionModel, clips: Iterator[NDArray[np.uint8]]) -> Iterator[Pass]:
    """Forward passes of clips, uint8 RGB [T, H, W, 3] of one size, a batch each: in their order, all of them.

    Clips are prepared from their pixels, as a clip that was recorded like that would be; so networks of optical flow
    see the motion of the changed clip. Raises LeftOut where logits are not finite.
    """
    for first in clips:
        some = [first, *islice(clips, batch_of(first.size) - 1)]
        with torch.inference_mode():
            found = model.program.forward(model.prepare(some), (), relevance=False)
            if not bool(found.logits.isfinite().all()):
                raise LeftOut("the model's logits of a changed clip are not finite")
            yield found


def reordered(clip: NDArray[np.uint8], frames: Sequence[int]) -> NDArray[np.uint8]:
    """These frames of a clip, [T, H, W, 3], in this order; each as often as it is named."""
    return np.ascontiguousarray(clip[np.asarray(frames)])
