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

    Uniform: `numpy.linspace(0, count - 1, T).round()` (halves to even). Dense: start, start + stride, ...; the last
    frame repeats when the clip is too short. Indices: as given. No rule set: the model's own. Models of any length
    take another T than their own by a uniform count or by as many indices.
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
    if rule == "dense":
        if sampling.dense.start >= count:
            raise InvalidArgument(
                f"sampling.dense.start: {sampling.dense.start} is past the end; the clip has frames 0 to {count - 1}",
                field="sampling.dense.start",
                reason="SAMPLING_OUT_OF_RANGE",
            )
        return _dense(sampling.dense.start, sampling.dense.stride or 1, model_input.frames, count)
    if rule is None and model_input.sampling == SamplingRule.DENSE:
        return _dense(0, model_input.stride or 1, model_input.frames, count)
    return uniform(count, _length(sampling.uniform.count, model_input))


def uniform(count: int, frames: int) -> tuple[int, ...]:
    """`frames` positions spread over 0 .. count - 1, both ends included; halves are rounded to even."""
    return tuple(int(position) for position in np.linspace(0, count - 1, frames).round())


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


def _dense(start: int, stride: int, frames: int, count: int) -> tuple[int, ...]:
    return tuple(min(start + i * stride, count - 1) for i in range(frames))


def _length(asked: int, model_input: model_pb2.ModelInput) -> int:
    if asked in (0, model_input.frames) or asked <= model_input.most_frames:
        return asked or model_input.frames
    raise InvalidArgument(
        f"sampling.uniform.count: {asked} frames asked for; {_takes(model_input)}",
        field="sampling.uniform.count",
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
