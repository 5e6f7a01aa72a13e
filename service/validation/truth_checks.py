"""Checks what is said to be known of a clip, without the clip."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from actionlens.v1 import job_pb2, method_pb2, model_pb2
from service.errors import InvalidArgument
from service.validation.request import class_index

MAX_CLIPS = 10_000
MAX_MEASUREMENTS = 1_000_000
MAX_BOXES = 20_000
MAX_JOB_BOXES = 200_000
MAX_MASKS = 9000
MAX_MASK_BITS = 2**28


def check_counts(clips: Sequence[job_pb2.JobClip]) -> None:
    """Check how many clips and boxes a job has before anything looks at each. Raises InvalidArgument."""
    if len(clips) > MAX_CLIPS:
        raise InvalidArgument(
            f"clips: {len(clips)} are more than {MAX_CLIPS}; make several jobs", field="clips", reason="TOO_MANY_CLIPS"
        )
    whole = 0
    for index, clip in enumerate(clips):
        count = len(clip.ground_truth.boxes)
        if count > MAX_BOXES:
            raise _wrong(f"clips[{index}].ground_truth.boxes", f"{count} boxes; give at most {MAX_BOXES} of a clip")
        whole += count
    if whole > MAX_JOB_BOXES:
        raise _wrong("clips", f"{whole} boxes in all; give at most {MAX_JOB_BOXES}, or make several jobs")


def check_measurements(clips: int, evaluate: method_pb2.Evaluate) -> None:
    """Check how many times a job takes a measure of a method. Raises InvalidArgument."""
    count = clips * max(1, len(evaluate.methods)) * len(evaluate.measures)
    if count > MAX_MEASUREMENTS:
        raise InvalidArgument(
            f"clips: {clips} times {len(evaluate.methods)} methods times {len(evaluate.measures)} measures are more "
            f"than {MAX_MEASUREMENTS}; make several jobs",
            field="clips",
            reason="TOO_MANY_MEASUREMENTS",
        )


def complete_truth(truth: job_pb2.GroundTruth, model: model_pb2.Model, path: str) -> None:
    """Check a ground truth of which `check_message` has nothing to say, written at `path`, and make its label a number,
    in place.

    Whether it fits the clip is seen when that is decoded. Raises InvalidArgument naming the field.
    """
    if truth.HasField("label"):
        if truth.label.WhichOneof("selector") is None:
            raise _wrong(f"{path}.label", "names no class; set index or label, or leave it out")
        truth.label.index = class_index(truth.label, model, f"{path}.label")
    if truth.boxes and truth.HasField("masks"):
        raise _wrong(f"{path}.masks", "there are boxes too; give boxes or masks")
    _check_boxes(truth.boxes, f"{path}.boxes")
    if truth.HasField("masks"):
        _check_masks(truth.masks, f"{path}.masks")
    if truth.HasField("segment"):
        _check_segment(truth.segment, f"{path}.segment")


def _check_boxes(boxes: Sequence[job_pb2.Box], path: str) -> None:
    for index, box in enumerate(boxes):
        if not (box.x0 < box.x1 and box.y0 < box.y1):
            raise _wrong(
                f"{path}[{index}]",
                f"x {box.x0:g} to {box.x1:g}, y {box.y0:g} to {box.y1:g} holds nothing; x0 < x1 and y0 < y1",
            )


def _check_masks(masks: job_pb2.Masks, path: str) -> None:
    size = f"{masks.count} x {masks.height} x {masks.width}"
    bits = masks.count * masks.height * masks.width
    if not bits:
        raise _wrong(path, f"{size} pixels hold nothing; give count, height and width")
    if masks.count > MAX_MASKS:
        raise _wrong(f"{path}.count", f"{masks.count} masks; give at most {MAX_MASKS} of a clip")
    if bits > MAX_MASK_BITS:
        raise _wrong(path, f"{size} pixels are more than {MAX_MASK_BITS}; scale the masks down, or give fewer")
    if len(masks.bits) != -(-bits // 8):
        raise _wrong(
            f"{path}.bits", f"{size} pixels take {-(-bits // 8)} bytes, 8 pixels a byte; got {len(masks.bits)}"
        )
    if masks.frames and len(masks.frames) != masks.count:
        raise _wrong(f"{path}.frames", f"{len(masks.frames)} frames for {masks.count} masks")
    for index, (before, frame) in enumerate(pairwise(masks.frames), 1):
        if frame <= before:
            raise _wrong(f"{path}.frames[{index}]", f"{frame} comes after {before}; frames rise")


def _check_segment(segment: job_pb2.Segment, path: str) -> None:
    match segment.WhichOneof("extent"):
        case "frames":
            if segment.frames.last < segment.frames.first:
                raise _wrong(f"{path}.frames", f"{segment.frames.first} to {segment.frames.last} holds no frame")
        case "seconds":
            if not 0 <= segment.seconds.begin <= segment.seconds.end:
                raise _wrong(
                    f"{path}.seconds",
                    f"{segment.seconds.begin:g} to {segment.seconds.end:g} is no time; 0 <= begin <= end",
                )
        case _:
            raise _wrong(path, "has no extent; set frames or seconds, or leave it out")


def _wrong(path: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"{path}: {why}", field=path, reason="BAD_GROUND_TRUTH")
