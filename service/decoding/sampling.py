"""Chooses the frames of a clip that the model sees."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from actionlens.card import ColorOrder, SamplingRule
from actionlens.v1 import clip_pb2, model_pb2
from service.errors import InvalidArgument


def choose(sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput, count: int) -> tuple[int, ...]:
    """The positions, 0 .. count - 1, of the frames that the model takes from a clip of `count` > 0 frames.

    Uniform: `numpy.linspace(0, count - 1, T).round()` (halves to even). Segments: the middle one of each of T equal
    segments. Dense: start, start + stride, ...; span: T positions spread over T * stride frames from start on; the last
    frame repeats when the clip is too short. Indices: as given. No rule set: the model's own (`SamplingRule`). Models
    of any length take another T than their own by a count of uniform or segments, or by as many indices.
    Raises InvalidArgument naming the field when a position does not exist, the model does not take so many, or it is
    shown motion and the clip is one frame.
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
    frames, stride = model_input.frames, model_input.stride or 1
    if rule == "dense":
        return dense(_start(sampling.dense.start, "dense", count), sampling.dense.stride or 1, frames, count)
    if rule == "span":
        return span(_start(sampling.span.start, "span", count), sampling.span.stride or 1, frames, count)
    if rule == "uniform":
        return uniform(count, _length(sampling.uniform.count, "uniform", model_input))
    if rule == "segments":
        return segments(count, _length(sampling.segments.count, "segments", model_input))
    match model_input.sampling:
        case SamplingRule.DENSE:
            return dense(0, stride, frames, count)
        case SamplingRule.SPAN:
            return span(0, stride, frames, count)
        case SamplingRule.SEGMENTS:
            return segments(count, frames)
        case SamplingRule.STARTS:
            return dense(0, max(1, count // frames), frames, count)
        case _:
            return uniform(count, frames)


def uniform(count: int, frames: int) -> tuple[int, ...]:
    """`frames` positions spread over 0 .. count - 1, both ends included; halves are rounded to even."""
    return tuple(int(position) for position in np.linspace(0, count - 1, frames).round())


def segments(count: int, frames: int) -> tuple[int, ...]:
    """The middle one of each of `frames` equal segments of 0 .. count - 1: floor((i + 1/2) count / frames), as the test
    code of TSN, TRN and TSM takes it. Frames repeat where there are fewer than segments."""
    return tuple((2 * i + 1) * count // (2 * frames) for i in range(frames))


def dense(start: int, stride: int, frames: int, count: int) -> tuple[int, ...]:
    """start, start + stride, ...; the last of 0 .. count - 1 repeats."""
    return tuple(min(start + i * stride, count - 1) for i in range(frames))


def span(start: int, stride: int, frames: int, count: int) -> tuple[int, ...]:
    """`frames` positions spread over frames * stride from start on, both ends included, rounded down, as PySlowFast and
    PyTorchVideo take them; the last of 0 .. count - 1 repeats."""
    last, steps = frames * stride - 1, max(1, frames - 1)
    return tuple(min(start + i * last // steps, count - 1) for i in range(frames))


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


def _start(asked: int, rule: str, count: int) -> int:
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
