"""What is known of a source, on the frames and pixels that the model sees."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import answer_pb2, job_pb2
from actionlens.worker.v1 import worker_pb2
from service.decoding.clip import DecodedClip
from service.errors import InvalidArgument

_LATE_SECONDS = 1.0
"""A segment may end so much after the clip: annotations are rounded."""

_SAME_TIME = 1e-6
_SAME_SHAPE = 0.03
"""Shapes of masks and of their source differ by so much at most, or by one pixel: sides are rounded."""


def truth_on_frames(truth: job_pb2.GroundTruth, clip: DecodedClip, path: str) -> worker_pb2.Truth:
    """Bring a checked ground truth, written at `path`, to the model's frames.

    A source frame that the model sees twice is annotated twice. A pixel of the model's belongs to an object when at
    least half of it is covered; what is smaller than any pixel has the one that it covers most. Raises InvalidArgument
    naming the field for frames past the clip's end, boxes outside the picture, masks of another shape or larger than
    it, and times of a clip without any.
    """
    found = worker_pb2.Truth()
    if truth.HasField("label"):
        found.label = truth.label.index
    objects: dict[int, NDArray[np.bool_]] | None = None
    if truth.boxes:
        objects = _boxes(truth.boxes, clip, f"{path}.boxes")
    if truth.HasField("masks"):
        objects = _masks(truth.masks, clip, f"{path}.masks")
        found.exact = True
    if objects is not None:
        nothing = np.zeros(clip.frames.shape[1:3], np.bool_)
        found.objects = np.packbits(np.stack([objects.get(index, nothing) for index in clip.indices])).tobytes()
        found.annotated.extend(index in objects for index in clip.indices)
    if truth.HasField("segment"):
        found.segment.extend(_segment(truth.segment, clip, f"{path}.segment"))
    return found


def visible_part(placement: answer_pb2.Placement) -> worker_pb2.Rectangle:
    """The pixels of the model's frame that show the source, not bars."""
    return worker_pb2.Rectangle(
        left=max(0, round(placement.left)),
        top=max(0, round(placement.top)),
        right=min(placement.frame_width, round(placement.left + placement.width)),
        bottom=min(placement.frame_height, round(placement.top + placement.height)),
    )


def _boxes(boxes: Sequence[job_pb2.Box], clip: DecodedClip, path: str) -> dict[int, NDArray[np.bool_]]:
    """By source frame, of those that the model sees: bool [height, width]."""
    seen, found = set(clip.indices), dict[int, NDArray[np.bool_]]()
    for index, box in enumerate(boxes):
        where = f"{path}[{index}]"
        _check_frame(box.frame, clip, f"{where}.frame")
        left, right = max(0.0, box.x0), min(float(clip.source_width), box.x1)
        top, bottom = max(0.0, box.y0), min(float(clip.source_height), box.y1)
        if left >= right or top >= bottom:
            raise _wrong(where, f"lies outside the picture of {clip.source_width} x {clip.source_height} pixels")
        if box.frame in seen:
            across = _covered(
                left, right, clip.source_width, clip.placement.left, clip.placement.width, clip.frames.shape[2]
            )
            down = _covered(
                top, bottom, clip.source_height, clip.placement.top, clip.placement.height, clip.frames.shape[1]
            )
            mask = _half_covered(np.outer(down, across))
            found[box.frame] = found[box.frame] | mask if box.frame in found else mask
    return found


def _masks(masks: job_pb2.Masks, clip: DecodedClip, path: str) -> dict[int, NDArray[np.bool_]]:
    """As `_boxes`."""
    width, height = clip.source_width, clip.source_height
    if masks.width > width or masks.height > height or not _same_shape(masks.width, masks.height, width, height):
        raise _wrong(
            path,
            f"{masks.width} x {masks.height} pixels for a picture of {width} x {height}; a mask covers the whole "
            "upright picture, at its size or smaller",
        )
    frames = masks.frames or range(masks.count)
    for index, frame in enumerate(frames):
        _check_frame(frame, clip, f"{path}.frames[{index}]" if masks.frames else f"{path}.count")
    place, size = clip.placement, masks.height * masks.width
    across = _overlaps(masks.width, place.left, place.width, clip.frames.shape[2])
    down = _overlaps(masks.height, place.top, place.height, clip.frames.shape[1])
    packed = np.frombuffer(masks.bits, np.uint8)
    seen, found = set(clip.indices), dict[int, NDArray[np.bool_]]()
    for number, frame in enumerate(frames):
        if frame in seen:
            first = number * size
            bits = np.unpackbits(packed[first // 8 : (first + size + 7) // 8])[first % 8 :][:size]
            mask = bits.reshape(masks.height, masks.width).astype(np.float32)
            found[frame] = _half_covered(down @ mask @ across.T)
    return found


def _same_shape(width: int, height: int, source_width: int, source_height: int) -> bool:
    expected = width * source_height / source_width
    return abs(height - expected) <= max(1.0, _SAME_SHAPE * expected)


def _covered(low: float, high: float, source: int, start: float, length: float, pixels: int) -> NDArray[np.float64]:
    """How much of each of the model's pixels on one side a stretch of the source covers, 0 .. 1: [pixels]."""
    edges = np.arange(pixels + 1, dtype=np.float64)
    first, last = start + low * length / source, start + high * length / source
    shared: NDArray[np.float64] = np.minimum(edges[1:], last) - np.maximum(edges[:-1], first)
    return shared.clip(min=0.0)


def _overlaps(cells: int, start: float, length: float, pixels: int) -> NDArray[np.float32]:
    """The same for each cell of a mask that covers the source: [pixels, cells]."""
    edges = start + np.arange(cells + 1) * (length / cells)
    pixel = np.arange(pixels)[:, None]
    shared = np.minimum(pixel + 1, edges[None, 1:]) - np.maximum(pixel, edges[None, :-1])
    return np.asarray(shared.clip(min=0.0), np.float32)


def _half_covered(coverage: NDArray[np.floating]) -> NDArray[np.bool_]:
    """The pixels that are covered by half, or the most covered one where none is: bool [height, width]."""
    found = coverage >= 0.5 - 1e-5
    if not found.any() and coverage.any():
        found[np.unravel_index(coverage.argmax(), coverage.shape)] = True
    return np.asarray(found)


def _segment(segment: job_pb2.Segment, clip: DecodedClip, path: str) -> list[bool]:
    if segment.WhichOneof("extent") == "frames":
        first, last = segment.frames.first, segment.frames.last
        _check_frame(last, clip, f"{path}.frames.last")
        return [first <= index <= last for index in clip.indices]
    if not clip.timestamps or clip.fps <= 0:
        raise _wrong(f"{path}.seconds", "the clip has no times; give frames")
    begin, end, length = segment.seconds.begin, segment.seconds.end, clip.count / clip.fps
    if begin >= length or end > math.ceil(length) + _LATE_SECONDS:
        raise _wrong(f"{path}.seconds", f"{begin:g} to {end:g} is past the end of a clip of {length:.2f} s")
    return [begin - _SAME_TIME <= time <= end + _SAME_TIME for time in clip.timestamps]


def _check_frame(frame: int, clip: DecodedClip, path: str) -> None:
    if frame >= clip.count:
        raise _wrong(path, f"{frame} is past the end; the clip has frames 0 to {clip.count - 1}")


def _wrong(path: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"{path}: {why}", field=path, reason="BAD_GROUND_TRUTH")
