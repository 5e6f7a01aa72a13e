"""Generates clips of which everything is known, to measure explanations on."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from actionlens.extras import needing
from actionlens.v1 import model_pb2
from service.cli.evaluation_jobs import MeasuredClip
from service.client import GroundTruth

_APART = 2**20
"""Seeds between two sets of clips, which is the most that a set has."""


def generated_clips(count: int, seed: int, model: model_pb2.Model) -> list[MeasuredClip]:
    """Clips that no bundled model was trained on, at the model's size, with exact masks, the frames of the movement and
    the class where the model has it. The same seed gives the same clips. Raises MissingExtra."""
    with needing("media"):
        import actionlens.generated_clips.clips  # noqa: F401
    return [
        MeasuredClip(f"generated-{number}", partial(_read, seed * _APART + number, model)) for number in range(count)
    ]


def knows_classes(model: model_pb2.Model) -> bool:
    """Whether the model has the classes that are generated."""
    from actionlens.generated_clips.labels import CLASSES

    return set(CLASSES) <= set(model.labels)


def _read(number: int, model: model_pb2.Model) -> tuple[NDArray[np.uint8], GroundTruth]:
    from actionlens.generated_clips.clips import HELD_OUT_SEED, generate
    from actionlens.generated_clips.labels import CLASSES

    size = min(model.input.height, model.input.width)
    sample = generate(HELD_OUT_SEED + number, frames=model.input.frames, size=size)
    moving = np.flatnonzero(sample.stroke)
    label = CLASSES[sample.label]
    return sample.clip, GroundTruth(
        label=label if label in model.labels else None,
        # Where nothing moves there is no object, which is other than not to know it.
        masks=sample.mask if sample.mask.any() else None,
        segment=(int(moving[0]), int(moving[-1])) if moving.size else None,
    )
