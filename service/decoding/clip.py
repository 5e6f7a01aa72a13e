"""A client's clip, decoded: exactly the frames that the model sees, at its size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import answer_pb2, clip_pb2, model_pb2
from service.decoding.deadline import Deadline
from service.decoding.fit import fit, placement_of, refit
from service.decoding.image import check_size, decode_image, image_size
from service.decoding.sampling import choose, effective_fps, rate_of
from service.decoding.video import read_video
from service.errors import InvalidArgument
from service.readings.source_clock import SourceClock, rate_note, repeat_note, size_note
from service.settings import Limits


@dataclass(frozen=True, slots=True)
class DecodedClip:
    """The frames of a clip that the model sees, as it sees them.

    frames: uint8 [T, height, width, 3] RGB at the model's size. indices: position of each in the source. count: frames
    of the source. timestamps: seconds since the first source frame; empty when unknown. fps: of the source,
    effective_fps: at which the model sees the world; 0 when unknown. source_width, source_height: upright, in square
    pixels. placement: where the source image lies in the model's frame. notes: what people should know of these frames,
    as FrameReport's.
    """

    frames: NDArray[np.uint8]
    indices: tuple[int, ...]
    count: int
    timestamps: tuple[float, ...]
    source_width: int
    source_height: int
    fps: float
    effective_fps: float
    placement: answer_pb2.Placement
    notes: tuple[str, ...]


def decode_clip(
    clip: clip_pb2.Clip, sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput, limits: Limits
) -> DecodedClip:
    """Decode the frames of a clip that the model sees and fit them to its size.

    Only these frames are converted and kept; everything that headers state is checked against the limits first.
    Raises InvalidArgument naming the field ("clip.video", "clip.frames.images[3]", "clip.raw.data",
    "sampling.indices.values[2]") with the reason and the fix, and DeadlineExceeded (DECODE_TOO_SLOW) after
    `limits.decode_seconds`.
    """
    source = clip.WhichOneof("source")
    if source == "video":
        return _from_video(clip.video, sampling, model_input, limits)
    if source == "frames":
        return _from_images(clip.frames, sampling, model_input, limits)
    if source == "raw":
        return _from_pixels(clip.raw, sampling, model_input, limits)
    raise InvalidArgument("clip: has no source; set one of video, frames or raw", field="clip", reason="CLIP_EMPTY")


def _from_video(
    data: bytes, sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput, limits: Limits
) -> DecodedClip:
    # The last number that frames are chosen of is the true one.
    counts: list[int] = []

    def chosen(count: int, fps: float) -> tuple[int, ...]:
        counts.append(count)
        return choose(sampling, model_input, count, fps)

    video = read_video(
        data,
        chosen,
        lambda image: fit(image, model_input)[0],
        limits,
        "clip.video",
    )
    notes = [*video.notes, *_sampling_notes(sampling, model_input, video.indices, video.fps)]
    return _clip(
        video.frames,
        video.indices,
        counts[-1],
        video.timestamps,
        video.width,
        video.height,
        video.fps,
        model_input,
        notes,
    )


def _from_images(
    source: clip_pb2.EncodedFrames, sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput, limits: Limits
) -> DecodedClip:
    deadline = Deadline(limits.decode_seconds, "clip.frames.images")
    count = len(source.images)
    _check_count(count, "clip.frames.images", limits)
    clock = _read_clock(source, count, "clip.frames", limits)
    width, height = image_size(source.images[0], limits, "clip.frames.images[0]")
    for position, encoded in enumerate(source.images):
        field = f"clip.frames.images[{position}]"
        image_size(encoded, limits, field)
        deadline.check()
    indices = choose(sampling, model_input, count, clock.fps)
    frames: dict[int, NDArray[np.uint8]] = {}
    sizes: list[tuple[int, int]] = []
    for index in sorted(set(indices)):
        deadline.check()
        image = decode_image(source.images[index], limits, f"clip.frames.images[{index}]")
        sizes.append((image.shape[1], image.shape[0]))
        frames[index] = fit(refit(image, width, height), model_input)[0]
    notes = [*clock.notes(indices), size_note(sizes, (width, height))]
    notes += _sampling_notes(sampling, model_input, indices, clock.fps)
    kept = [frames[index] for index in indices]
    return _clip(kept, indices, count, clock.times(indices), width, height, clock.fps, model_input, notes)


_CHANNELS = {
    clip_pb2.PIXEL_FORMAT_UNSPECIFIED: 3,
    clip_pb2.PIXEL_FORMAT_RGB: 3,
    clip_pb2.PIXEL_FORMAT_BGR: 3,
    clip_pb2.PIXEL_FORMAT_GRAY: 1,
}


def raw_pixels(source: clip_pb2.RawFrames, limits: Limits) -> NDArray[np.uint8]:
    """View a raw clip as uint8 [count, height, width, channels] in its own channel order (read-only, not copied).

    Raises InvalidArgument naming the field ("clip.raw.data") when it does not fit or is over a limit.
    """
    channels = _CHANNELS.get(source.format)
    if channels is None:
        raise InvalidArgument(
            f"clip.raw.format: {source.format} is unknown; use RGB, BGR or GRAY",
            field="clip.raw.format",
            reason="PIXEL_FORMAT_UNKNOWN",
        )
    _check_count(source.count, "clip.raw.count", limits)
    check_size(source.width, source.height, limits, "clip.raw")
    shape = (source.count, source.height, source.width, channels)
    if math.prod(shape) != len(source.data):
        raise InvalidArgument(
            f"clip.raw.data: {' x '.join(map(str, shape))} (count x height x width x channels) takes "
            f"{math.prod(shape)} bytes, got {len(source.data)}; send uint8 pixels in that order",
            field="clip.raw.data",
            reason="RAW_SIZE_MISMATCH",
        )
    return np.frombuffer(source.data, np.uint8).reshape(shape)


def _from_pixels(
    source: clip_pb2.RawFrames, sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput, limits: Limits
) -> DecodedClip:
    pixels = raw_pixels(source, limits)
    clock = _read_clock(source, source.count, "clip.raw", limits)
    indices = choose(sampling, model_input, source.count, clock.fps)
    frames = {i: fit(to_rgb(pixels[i], source.format), model_input)[0] for i in sorted(set(indices))}
    return _clip(
        [frames[i] for i in indices],
        indices,
        source.count,
        clock.times(indices),
        source.width,
        source.height,
        clock.fps,
        model_input,
        [*clock.notes(indices), *_sampling_notes(sampling, model_input, indices, clock.fps)],
    )


def to_rgb(pixels: NDArray[np.uint8], order: clip_pb2.PixelFormat) -> NDArray[np.uint8]:
    """uint8 [height, width, 1 or 3] in a channel order as uint8 [height, width, 3] RGB."""
    if order == clip_pb2.PIXEL_FORMAT_GRAY:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
    if order == clip_pb2.PIXEL_FORMAT_BGR:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    return pixels


def _check_count(count: int, field: str, limits: Limits) -> None:
    if count < 1:
        raise InvalidArgument(f"{field}: has no frames; send at least one", field=field, reason="NO_FRAMES")
    if count > limits.frames:
        raise InvalidArgument(
            f"{field}: {count} frames are more than the limit of {limits.frames}; cut the clip",
            field=field,
            reason="TOO_MANY_FRAMES",
        )


@dataclass(frozen=True, slots=True)
class _FrameClock:
    """The times of images and pixels. fps: 0 when unknown. seconds: since the first frame, one per frame; empty when
    only the rate tells. source: has read them; None without."""

    fps: float
    seconds: tuple[float, ...] = ()
    source: SourceClock | None = None

    def times(self, indices: Iterable[int]) -> tuple[float, ...]:
        """Seconds since the first frame of these ones; empty when unknown."""
        if self.seconds:
            return tuple(self.seconds[index] for index in indices)
        return tuple(index / self.fps for index in indices) if self.fps > 0 else ()

    def notes(self, indices: Sequence[int]) -> list[str]:
        """Tell people what is unusual about the clock between these frames."""
        told = self.source.notes(min(indices), max(indices)) if self.source is not None else []
        return [*told, rate_note(self.fps)]


def _read_clock(
    source: clip_pb2.EncodedFrames | clip_pb2.RawFrames, count: int, field: str, limits: Limits
) -> _FrameClock:
    """Read `timestamps`, as those of a file are read, or else `fps`. Raises InvalidArgument, also for a clip that is
    too long."""
    fps = source.fps
    if not math.isfinite(fps) or fps < 0:
        raise InvalidArgument(
            f"{field}.fps: {fps} is not a frame rate; send frames per second, or 0 when unknown",
            field=f"{field}.fps",
            reason="FRAME_RATE_INVALID",
        )
    if not source.timestamps:
        if fps > 0:
            _check_length(count / fps, count, f"{field}.fps", limits)
        return _FrameClock(fps)
    field = f"{field}.timestamps"
    if len(source.timestamps) != count or not all(map(math.isfinite, source.timestamps)):
        raise InvalidArgument(
            f"{field}: got {len(source.timestamps)} for {count} frames; send a finite number of seconds for each, "
            "or none",
            field=field,
            reason="TIMESTAMPS_INVALID",
        )
    clock = SourceClock(fps, "")
    seconds = tuple(clock.add(time) for time in source.timestamps)
    if seconds[-1] <= 0:
        return _FrameClock(fps)
    # The last frame is shown too: as long as the others on average.
    _check_length(seconds[-1] * count / (count - 1), count, field, limits)
    return _FrameClock((count - 1) / seconds[-1], seconds, clock)


def _check_length(seconds: float, count: int, field: str, limits: Limits) -> None:
    if seconds > limits.seconds:
        raise InvalidArgument(
            f"{field}: {count} frames at {count / seconds:g} per second last longer than the limit of "
            f"{limits.seconds:g} s; cut the clip",
            field=field,
            reason="CLIP_TOO_LONG",
        )


def _sampling_notes(
    sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput, indices: tuple[int, ...], fps: float
) -> list[str]:
    """Say that the clip has fewer frames than the model takes, or none of the rate asked for; not where the frames were
    named."""
    if sampling.WhichOneof("rule") == "indices":
        return []
    asked = rate_of(sampling, model_input)
    notes = []
    if asked and not fps:
        stride = model_input.stride or 1
        notes.append(
            f"the clip's frame rate is not known: the model sees one of every {stride} frames, not {asked:g} a second"
        )
    why = "the clip has no more"
    if 0 < fps < asked:
        why = f"it sees {asked:g} a second, and the clip has {fps:.3g}"
    elif model_input.windows > 1:
        why = "its windows overlap, or the clip has no more"
    return [*notes, repeat_note(indices, why)]


def _clip(
    frames: Iterable[NDArray[np.uint8]],
    indices: tuple[int, ...],
    count: int,
    timestamps: tuple[float, ...],
    width: int,
    height: int,
    fps: float,
    model_input: model_pb2.ModelInput,
    notes: Iterable[str],
) -> DecodedClip:
    return DecodedClip(
        frames=np.stack(list(frames)),
        indices=indices,
        count=count,
        timestamps=timestamps,
        source_width=width,
        source_height=height,
        fps=fps,
        effective_fps=effective_fps(timestamps),
        placement=placement_of(width, height, model_input),
        notes=tuple(filter(None, notes)),
    )
