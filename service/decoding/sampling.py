"""Chooses the frames of a clip that the model sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from actionlens.card import ColorOrder, SamplingRule
from actionlens.v1 import clip_pb2, model_pb2
from service.errors import InvalidArgument


def choose(
    sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput, count: int, fps: float = 0.0
) -> tuple[int, ...]:
    """The positions, 0 .. count - 1, of the frames that the model takes from a clip of `count` > 0 frames.

    Uniform: `numpy.linspace(0, count - 1, T).round()` (halves to even). Segments: the middle one of each of T equal
    segments. Stretches begin at start, and the last frame repeats when the clip is too short. Dense: start,
    start + stride, ...; span: T positions spread over T * stride frames; rate: so many frames a second, of a clip of
    `fps` a second; dense where that is 0, unknown. Indices: as given. No rule set: the model's own (`SamplingRule`).
    Models that average windows are shown that many stretches, from the first possible to the last. Models of any length
    take another T than their own by a count of uniform or segments, or by as many indices.
    Raises InvalidArgument naming the field when a position does not exist, the model does not take so many, a rate is
    not given, or the model is shown motion and the clip is one frame.
    """
    if count == 1 and model_input.color == ColorOrder.FLOW:
        raise InvalidArgument(
            "clip: has one frame; the model is shown optical flow, which takes two or more",
            field="clip",
            reason="CLIP_TOO_SHORT",
        )
    rule = sampling.WhichOneof("rule")
    if rule == "indices":
        return _given(sampling.indices.values, model_input, count)
    if rule == "uniform":
        return uniform(count, _length(sampling.uniform.count, "uniform", model_input))
    if rule == "segments":
        return segments(count, _length(sampling.segments.count, "segments", model_input))
    if rule is not None or model_input.sampling in _STRETCHES:
        return _windows(_stretch(sampling, model_input, fps), _start(sampling, count), model_input.windows or 1, count)
    match model_input.sampling:
        case SamplingRule.SEGMENTS:
            return segments(count, model_input.frames)
        case SamplingRule.STARTS:
            return _windows(dense(max(1, count // model_input.frames), model_input.frames), 0, 1, count)
        case _:
            return uniform(count, model_input.frames)


_STRETCHES = frozenset(rule for rule in SamplingRule if rule.is_stretch)
_LARGEST = 2.0**32
_SLACK = 1e-6
"""Frames: a position that is that close to a whole one is that one."""


def rate_of(sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput) -> float:
    """Frames per second at which frames are to be taken; 0 where the rule is another."""
    asked = sampling.WhichOneof("rule")
    if asked == "rate":
        return sampling.rate.fps or model_input.fps
    return model_input.fps if asked is None and model_input.sampling == SamplingRule.RATE else 0.0


def _stretch(sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput, fps: float) -> tuple[int, ...]:
    """Offsets of the frames of one window from its first."""
    frames, stride = model_input.frames // (model_input.windows or 1), model_input.stride or 1
    match sampling.WhichOneof("rule") or model_input.sampling:
        case "dense":
            return dense((sampling.dense.stride or 1) if sampling.HasField("dense") else stride, frames)
        case "span":
            return span((sampling.span.stride or 1) if sampling.HasField("span") else stride, frames)
    check_rate(sampling, model_input)
    step = fps / rate_of(sampling, model_input)
    return rate(step, frames) if step > 0 else dense(stride, frames)


def check_rate(sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput) -> None:
    """Raise InvalidArgument where a rate is asked for and none is given, by the request or the model's card."""
    asked = rate_of(sampling, model_input)
    if sampling.HasField("rate") and not (math.isfinite(asked) and asked > 0):
        raise InvalidArgument(
            f"sampling.rate.fps: {asked:g} is not a rate, and the model has none of its own; give frames per second",
            field="sampling.rate.fps",
            reason="FRAME_RATE_INVALID",
        )


def _windows(offsets: tuple[int, ...], start: int, windows: int, count: int) -> tuple[int, ...]:
    """That stretch from `start` on, or so many of them, the last one as late as the clip allows."""
    room = max(0, count - start - offsets[-1] - 1)
    starts = [start + i * room // max(1, windows - 1) for i in range(windows)]
    return tuple(min(first + offset, count - 1) for first in starts for offset in offsets)


def uniform(count: int, frames: int) -> tuple[int, ...]:
    """`frames` positions spread over 0 .. count - 1, both ends included; halves are rounded to even."""
    return tuple(int(position) for position in np.linspace(0, count - 1, frames).round())


def segments(count: int, frames: int) -> tuple[int, ...]:
    """The middle one of each of `frames` equal segments of 0 .. count - 1: floor((i + 1/2) count / frames), as the test
    code of TSN, TRN and TSM takes it. Frames repeat where there are fewer than segments."""
    return tuple((2 * i + 1) * count // (2 * frames) for i in range(frames))


def dense(stride: int, frames: int) -> tuple[int, ...]:
    """0, stride, 2 stride ..."""
    return tuple(i * stride for i in range(frames))


def span(stride: int, frames: int) -> tuple[int, ...]:
    """`frames` positions spread over frames * stride, both ends included, rounded down, as PySlowFast and PyTorchVideo
    take them."""
    last, steps = frames * stride - 1, max(1, frames - 1)
    return tuple(i * last // steps for i in range(frames))


def rate(step: float, frames: int) -> tuple[int, ...]:
    """floor(i step), as torchvision takes them. step: the clip's frames per second over those that the model sees."""
    return tuple(math.floor(i * min(step, _LARGEST) + _SLACK) for i in range(frames))


def effective_fps(timestamps: Sequence[float]) -> float:
    """Frames per second at which the model sees the world; 0 when the times are unknown or do not rise.

    timestamps: seconds, one per model frame. Repeats of the last frame at the end do not count as passing time.
    """
    times = list(timestamps)
    while len(times) > 1 and times[-1] == times[-2]:
        times.pop()
    if len(times) < 2 or any(later < earlier for earlier, later in pairwise(times)):
        return 0.0
    return (len(times) - 1) / (times[-1] - times[0])


def _start(sampling: clip_pb2.Sampling, count: int) -> int:
    rule = sampling.WhichOneof("rule")
    asked = 0 if rule is None else int(getattr(sampling, rule).start)
    if asked < count:
        return asked
    raise InvalidArgument(
        f"sampling.{rule}.start: {asked} is past the end; the clip has frames 0 to {count - 1}",
        field=f"sampling.{rule}.start",
        reason="SAMPLING_OUT_OF_RANGE",
    )


def _length(asked: int, rule: str, model_input: model_pb2.ModelInput) -> int:
    if asked in (0, model_input.frames) or asked <= model_input.most_frames:
        return asked or model_input.frames
    raise InvalidArgument(
        f"sampling.{rule}.count: {asked} frames asked for; {_takes(model_input)}",
        field=f"sampling.{rule}.count",
        reason="SAMPLING_WRONG_COUNT",
    )


def _takes(model_input: model_pb2.ModelInput) -> str:
    if model_input.most_frames:
        return f"the model takes 1 to {model_input.most_frames}"
    return f"the model takes exactly {model_input.frames}"


def _given(values: Sequence[int], model_input: model_pb2.ModelInput, count: int) -> tuple[int, ...]:
    if len(values) != model_input.frames and not 1 <= len(values) <= model_input.most_frames:
        raise InvalidArgument(
            f"sampling.indices.values: {len(values)} positions given; {_takes(model_input)}",
            field="sampling.indices.values",
            reason="SAMPLING_WRONG_COUNT",
        )
    for position, value in enumerate(values):
        if value >= count:
            field = f"sampling.indices.values[{position}]"
            raise InvalidArgument(
                f"{field}: {value} is past the end; the clip has frames 0 to {count - 1}",
                field=field,
                reason="SAMPLING_OUT_OF_RANGE",
            )
    return tuple(values)
