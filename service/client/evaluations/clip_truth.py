"""What a user knows of a clip, as it was written down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.client.evaluations.ground_truth import GroundTruth

MOST_BOXES = 20_000
"""Of one clip, as job_pb2.GroundTruth takes them."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle from pixel edge to pixel edge of the upright source picture, in a source frame from 0."""

    frame: int
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class ClipTruth:
    """What is known of one clip; every part may be missing.

    clip: as written. line: where it was read first. label: a label or, as an int, a class number. frames: first and
    last source frame of the action, both included. seconds: its begin and end instead. mask: a file or folder of masks,
    instead of boxes.
    """

    clip: str
    line: int
    label: str | int | None = None
    frames: tuple[int, int] | None = None
    seconds: tuple[float, float] | None = None
    boxes: tuple[Box, ...] = ()
    mask: Path | None = None

    @property
    def parts(self) -> frozenset[str]:
        """The parts of ground truth that measures ask for: "label", "objects", "segment"."""
        known = {
            "label": self.label is not None,
            "objects": bool(self.boxes) or self.mask is not None,
            "segment": self.frames is not None or self.seconds is not None,
        }
        return frozenset(part for part, there in known.items() if there)

    def ground_truth(self, masks: NDArray[np.bool_] | None = None) -> GroundTruth:
        """The truth as the client takes it. masks: those of `mask`, bool [frames, height, width]."""
        boxes: dict[int, list[tuple[float, float, float, float]]] = {}
        for box in self.boxes:
            boxes.setdefault(box.frame, []).append((box.x0, box.y0, box.x1, box.y1))
        return GroundTruth(
            label=self.label,
            boxes=boxes,
            masks=masks,
            segment=self.frames,
            segment_seconds=self.seconds,
        )
