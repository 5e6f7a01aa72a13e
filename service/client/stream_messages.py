"""Makes messages of the frames and options of a stream."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from actionlens.extras import needing
from actionlens.v1 import method_pb2, service_pb2
from service.client.clip_messages import QuestionOptions, output_message, target_message
from service.client.method_messages import method_messages
from service.errors import InvalidArgument

JPEG_QUALITY = 90
MAX_SIDE = 640

_FILLS = {"block": service_pb2.FILL_POLICY_BLOCK, "drop-oldest": service_pb2.FILL_POLICY_DROP_OLDEST}
_CONSUMES = {"every": service_pb2.CONSUME_POLICY_EVERY, "newest": service_pb2.CONSUME_POLICY_NEWEST}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a source.

    picture: uint8 [H, W, 3] RGB, or encoded JPEG or PNG bytes. sequence: its number in the source, rising; gaps are
    frames left out. timestamp: seconds on the source's clock, rising. clock_jumps: how often that clock jumped or
    started again up to this frame where `timestamp` goes on at the usual rate; answers over such a moment say so. note:
    what people should know of its source; answers for windows with it repeat it.
    """

    picture: NDArray[np.uint8] | bytes
    sequence: int
    timestamp: float
    clock_jumps: int = 0
    note: str = ""


FrameLike = Frame | NDArray[np.uint8] | bytes
"""A Frame, or a bare image, which gets the next number and the time at which it was taken."""


class StreamQuestionOptions(QuestionOptions, total=False):
    """QuestionOptions, and the budgets of explaining.

    To keep them the service leaves methods out, the most expensive first, and every answer says so. latency_budget:
    seconds from a frame to its answer. overhead_budget: time of explaining over the time of predicting, 0.3 is 30 %.
    None bounds nothing.
    """

    latency_budget: float | None
    overhead_budget: float | None


class StreamOptions(StreamQuestionOptions, total=False):
    """StreamQuestionOptions, and for streams:

    stride: source frames between two model frames; 0 is the model card's. hop: source frames between two windows; 0 is
    the stride. fill: "block" (lossless; the source waits) or "drop-oldest" (never late). consume: "every" window in
    order, or the "newest" whenever a worker is free. fps: gives bare images the timestamps of that rate instead of
    the clock's. jpeg_quality: 1 .. 100 for arrays, None sends raw pixels. max_side: arrays are scaled down to this
    longer side in pixels before they are sent; 0 keeps them as they are. idle_timeout: seconds without a sign of the
    service, while it owes one, after which the stream fails.
    """

    stride: int
    hop: int
    fill: str
    consume: str
    fps: float
    jpeg_quality: int | None
    max_side: int
    idle_timeout: float


def open_message(options: StreamOptions) -> service_pb2.ExplainStreamRequest:
    """The first message of a stream. Raises InvalidArgument naming what does not fit."""
    fill, consume = options.get("fill", "block"), options.get("consume", "every")
    for field, value, known in (("fill", fill, _FILLS), ("consume", consume, _CONSUMES)):
        if value not in known:
            raise InvalidArgument(f"open.{field}: {value!r} is not one of {', '.join(known)}", field=f"open.{field}")
    return service_pb2.ExplainStreamRequest(
        open=service_pb2.StreamOpen(
            model=options.get("model", ""),
            version=options.get("version", ""),
            target=target_message(options),
            methods=method_messages(options.get("methods", ())),
            output=output_message(options),
            window=service_pb2.Window(stride=options.get("stride", 0), hop=options.get("hop", 0)),
            fill=_FILLS[fill],
            consume=_CONSUMES[consume],
            budget=_budget(options),
        )
    )


def update_message(options: StreamQuestionOptions) -> service_pb2.ExplainStreamRequest:
    """A change of target, contrast, methods, the whole budget or whether the insertion-deletion gap is measured.

    An empty `methods` drops them all; a `target` of None is the top class again, a budget of None ends it; what is left
    out stays as it is."""
    methods = method_messages(options.get("methods", ()))
    target = target_message(options)
    if target is None and options.keys() & {"target", "contrast"}:
        target = method_pb2.Target()
    update = service_pb2.StreamUpdate(
        target=target,
        methods=methods,
        clear_methods="methods" in options and not methods,
        budget=_budget(options),
    )
    if "insertion_deletion_gap" in options:
        update.insertion_deletion_gap = options["insertion_deletion_gap"]
    return service_pb2.ExplainStreamRequest(update=update)


def _budget(options: StreamQuestionOptions) -> service_pb2.Budget | None:
    if "latency_budget" not in options and "overhead_budget" not in options:
        return None
    return service_pb2.Budget(
        latency_seconds=options.get("latency_budget"), overhead_share=options.get("overhead_budget")
    )


END = service_pb2.ExplainStreamRequest(end=service_pb2.StreamEnd())


def frame_encoder(options: StreamOptions) -> Callable[[FrameLike], service_pb2.ExplainStreamRequest]:
    """A function that makes a message of each frame of one stream, numbering bare images.

    It raises InvalidArgument for an image that is not uint8 [H, W, 3] or bytes.
    """
    quality, side = options.get("jpeg_quality", JPEG_QUALITY), options.get("max_side", MAX_SIDE)
    fps = options.get("fps", 0.0)
    numbers = itertools.count()

    def encode(item: FrameLike) -> service_pb2.ExplainStreamRequest:
        if not isinstance(item, Frame):
            number = next(numbers)
            item = Frame(item, number, number / fps if fps > 0 else time.monotonic())
        message = service_pb2.StreamFrame(
            sequence=item.sequence, timestamp=item.timestamp, clock_jumps=item.clock_jumps, note=item.note
        )
        if isinstance(item.picture, bytes):
            message.image = item.picture
            return service_pb2.ExplainStreamRequest(frame=message)
        image = _shrunk(item.picture, side)
        if quality is not None:
            message.image = simplejpeg.encode_jpeg(image, quality=quality, colorspace="RGB", colorsubsampling="420")
        else:
            height, width, _ = image.shape
            message.raw.CopyFrom(service_pb2.RawPicture(data=image.tobytes(), height=height, width=width))
        return service_pb2.ExplainStreamRequest(frame=message)

    return encode


def _shrunk(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InvalidArgument(
            "frame.picture: give uint8 [height, width, 3] RGB, or the bytes of a JPEG or PNG file",
            field="frame.picture",
            reason="BAD_FRAME",
        )
    height, width, _ = image.shape
    ratio = side / max(height, width) if side > 0 else 1.0
    if ratio >= 1:
        return np.ascontiguousarray(image)
    # Late: most clients have frames of this size, or OpenCV anyway.
    with needing("media"):
        import cv2
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
