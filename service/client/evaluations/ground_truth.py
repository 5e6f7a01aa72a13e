"""What is known of a clip, and its message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actionlens.v1 import job_pb2
from service.client.clip_messages import ClassLike, class_message
from service.errors import InvalidArgument


@dataclass(frozen=True)
class GroundTruth:
    """What is known of a clip; every part may be missing. Frames are positions in the source, from 0.

    label: the class that it shows, by number or label. boxes: by frame, x0, y0, x1, y1 in pixels of the upright
    picture, one box [4] or several [n, 4]. masks: bool or uint8 [n, H, W], at the picture's size or smaller;
    mask_frames: the frame of each, 0, 1, 2 ... when left out. segment: first and last frame of the action, or
    segment_seconds: its begin and end.
    """

    label: ClassLike = None
    boxes: Mapping[int, ArrayLike] | None = None
    masks: NDArray[np.bool_] | NDArray[np.uint8] | None = None
    mask_frames: Sequence[int] = ()
    segment: tuple[int, int] | None = None
    segment_seconds: tuple[float, float] | None = None


TruthLike = GroundTruth | job_pb2.GroundTruth | None


def truth_message(truth: TruthLike, path: str) -> job_pb2.GroundTruth | None:
    """A ground truth, written at `path` in the request, as the service takes it. Raises InvalidArgument for arrays of
    another shape."""
    if truth is None or isinstance(truth, job_pb2.GroundTruth):
        return truth
    message = job_pb2.GroundTruth(label=class_message(truth.label))
    for frame, boxes in (truth.boxes or {}).items():
        corners = np.asarray(boxes, np.float64)
        if corners.ndim not in (1, 2) or corners.shape[-1] != 4:
            raise _wrong(f"{path}.boxes", f"frame {frame} has {list(corners.shape)}; give x0, y0, x1, y1, or [n, 4]")
        for x0, y0, x1, y1 in corners.reshape(-1, 4):
            message.boxes.add(frame=_frame(frame, f"{path}.boxes"), x0=x0, y0=y0, x1=x1, y1=y1)
    if truth.masks is not None:
        masks = np.asarray(truth.masks)
        if masks.ndim != 3:
            raise _wrong(f"{path}.masks", f"has the shape {list(masks.shape)}; give [frames, height, width]")
        count, height, width = masks.shape
        message.masks.CopyFrom(
            job_pb2.Masks(
                frames=[_frame(frame, f"{path}.masks.frames") for frame in truth.mask_frames],
                count=count,
                height=height,
                width=width,
                bits=np.packbits(masks != 0).tobytes(),
            )
        )
    if truth.segment is not None:
        first, last = (_frame(frame, f"{path}.segment.frames") for frame in truth.segment)
        message.segment.frames.CopyFrom(job_pb2.FrameRange(first=first, last=last))
    elif truth.segment_seconds is not None:
        begin, end = truth.segment_seconds
        message.segment.seconds.CopyFrom(job_pb2.TimeRange(begin=begin, end=end))
    return message


def _frame(frame: int, path: str) -> int:
    if not 0 <= frame < 2**32:
        raise _wrong(path, f"{frame} is no frame; they count from 0")
    return frame


def _wrong(path: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"{path}: {why}", field=path, reason="BAD_GROUND_TRUTH")
