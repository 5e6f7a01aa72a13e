"""What a user knows of a clip, as it was written down and as a job takes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from actionlens.v1 import job_pb2, method_pb2

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


def truth_message(truth: ClipTruth, masks: job_pb2.Masks | None = None) -> job_pb2.GroundTruth:
    """The truth as a job takes it. masks: those of truth.mask, or of a generated clip."""
    message = job_pb2.GroundTruth(
        boxes=[job_pb2.Box(frame=box.frame, x0=box.x0, y0=box.y0, x1=box.x1, y1=box.y1) for box in truth.boxes],
        masks=masks,
    )
    if truth.label is not None:
        message.label.CopyFrom(class_selector(truth.label))
    if truth.frames is not None:
        first, last = truth.frames
        message.segment.frames.CopyFrom(job_pb2.FrameRange(first=first, last=last))
    elif truth.seconds is not None:
        begin, end = truth.seconds
        message.segment.seconds.CopyFrom(job_pb2.TimeRange(begin=begin, end=end))
    return message


def class_selector(label: str | int) -> method_pb2.ClassSelector:
    """A class by its label or number."""
    return method_pb2.ClassSelector(index=label) if isinstance(label, int) else method_pb2.ClassSelector(label=label)
