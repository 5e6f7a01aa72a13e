"""The clip that is measured on, and what is known to be true of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handlers.explainers.attribution import Attribution, Target
from handlers.models.action_model import ActionModel
from handlers.models.optical_flow import speed


class Explain(Protocol):
    """Explains the subject's class in another clip, or by another network; for measures that explain again."""

    def __call__(self, method: str, clip: NDArray[np.uint8], model: ActionModel | None = None) -> Attribution:
        """method: its name with its parameters, as the user wrote it. clip: uint8 RGB [T, H, W, 3]. model: the
        subject's own where it is None. Raises RequestError."""
        ...


@dataclass(frozen=True)
class GroundTruth:
    """What is known of a clip, on the model's frames; every part may be missing.

    label: class number. objects: bool [T, H, W], what the class is about: exact masks, or boxes filled in. annotated:
    bool [T], frames whose objects are known; all where objects are given without it. exact: whether `objects` are
    masks, not boxes. segment: bool [T], the frames of the action.
    """

    label: int | None = None
    objects: Tensor | None = None
    annotated: Tensor | None = None
    exact: bool = False
    segment: Tensor | None = None


@dataclass(frozen=True)
class Subject:
    """One clip and the model that it is measured on.

    clip: uint8 RGB [T, H, W, 3] at the model's size. logits: float32 [K] of it. target: the class of the ground truth
    where it is given, else the top-1. visible: (top, bottom, left, right) of the part of each frame that is no
    padding.
    """

    model: ActionModel
    clip: NDArray[np.uint8]
    logits: Tensor
    target: Target
    seed: int
    truth: GroundTruth = field(default_factory=GroundTruth)
    visible: tuple[int, int, int, int] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, height and width of the clip as the model sees it."""
        frames, height, width = self.clip.shape[:3]
        return frames, height, width

    @property
    def probability(self) -> float:
        """The target's probability on the whole clip."""
        return float(self.model.probabilities(self.logits)[self.target.index])

    @property
    def correct(self) -> bool | None:
        """Whether the top-1 class is that of the ground truth; None where that is not known."""
        return None if self.truth.label is None else int(self.logits.argmax()) == self.truth.label

    def generator(self, *labels: int) -> torch.Generator:
        """Random numbers of this clip's seed, and of `labels` (a draw's number), always the same ones."""
        mixed = np.random.SeedSequence([self.seed, *labels]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(mixed & 0x7FFF_FFFF_FFFF_FFFF))

    @cached_property
    def speed(self) -> Tensor:
        """float32 [T, H, W]: pixels that each one moves to the next frame, by optical flow; found once for all methods.

        Needs two frames of 16 x 16 at least.
        """
        return torch.from_numpy(speed(self.clip))

    @property
    def seen(self) -> Tensor:
        """bool [H, W]: which pixels of every frame show the clip, not padding."""
        _, height, width = self.shape
        top, bottom, left, right = self.visible or (0, height, 0, width)
        mask = torch.zeros(height, width, dtype=torch.bool)
        mask[top:bottom, left:right] = True
        return mask
