"""Frames of a video file, by position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from service.decoding.deadline import Deadline
from service.decoding.demuxer import DemuxedVideo, demux
from service.decoding.fit import refit
from service.decoding.packet_decoder import DecodedFrames, decode_frames
from service.errors import InvalidArgument
from service.readings.source_clock import SourceClock, rate_note, size_note
from service.settings import Limits


@dataclass(frozen=True, slots=True)
class DecodedVideo:
    """Frames of a video. frames: one per index, as the caller's `keep` made them. timestamps: seconds since the
    first frame, empty when unknown. width, height: of the upright source in square pixels; where they change, of the
    first of these frames. fps: 0 when unknown. notes: what people should know of the stream, its clock and sizes."""

    frames: tuple[NDArray[np.uint8], ...]
    indices: tuple[int, ...]
    timestamps: tuple[float, ...]
    width: int
    height: int
    fps: float
    notes: tuple[str, ...]


def read_video(
    data: bytes,
    choose: Callable[[int, float], tuple[int, ...]],
    keep: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    limits: Limits,
    field: str,
) -> DecodedVideo:
    """Decode chosen frames of a video file in memory.

    choose: the number of frames in the file, and how many a second (0: unknown) -> the positions wanted. keep: an
    upright uint8 [H, W, 3] RGB image -> what is kept of it. A file that is cut off or damaged gives what still decodes.
    Raises what `choose` raises, InvalidArgument (with `field`) and DeadlineExceeded.
    """
    deadline = Deadline(limits.decode_seconds, field)
    sizes: list[tuple[int, int]] = []

    def keep_alike(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = image.shape[:2]
        sizes.append((width, height))
        # The size may change within a file (adaptive recordings); the first one counts.
        return keep(refit(image, *sizes[0]))

    with demux(data, limits, deadline, field) as video:
        fps = _nominal(video)
        indices = choose(len(video.times) or len(video.packets), fps)
        decoded = _decode(video, indices, keep_alike, limits, deadline, field)
        if decoded.total is not None and not _complete(decoded, indices, video):
            # Packets and frames need not agree (hidden or damaged frames): now the true number is known.
            indices = choose(_positive(decoded.total, field), fps)
            if not decoded.frames.keys() >= set(indices):
                sizes.clear()
                decoded = _decode(video, indices, keep_alike, limits, deadline, field)
        if not decoded.frames.keys() >= set(indices):
            raise _no_frames(field)
        seconds, fps, clock = _clock(decoded, video)
    notes = (video.choice, *clock.notes(min(indices), max(indices)), rate_note(fps), size_note(sizes, sizes[0]))
    width, height = sizes[0]
    return DecodedVideo(
        frames=tuple(decoded.frames[index] for index in indices),
        indices=indices,
        timestamps=tuple(seconds[index] for index in indices) if seconds else (),
        width=width,
        height=height,
        fps=fps,
        notes=tuple(filter(None, notes)),
    )


def _decode(
    video: DemuxedVideo,
    indices: tuple[int, ...],
    keep: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    limits: Limits,
    deadline: Deadline,
    field: str,
) -> DecodedFrames:
    try:
        return decode_frames(video, set(indices), keep, limits, deadline)
    except av.FFmpegError as error:
        raise InvalidArgument(
            f"{field}: the pixels cannot be converted to RGB ({error.strerror}); convert the video to yuv420p",
            field=field,
            reason="VIDEO_BROKEN",
        ) from error


def _complete(decoded: DecodedFrames, indices: tuple[int, ...], video: DemuxedVideo) -> bool:
    """Whether the number of frames that the choice was made for is the true one."""
    return decoded.frames.keys() >= set(indices) and decoded.total == (len(video.times) or len(video.packets))


_SAME_RATE = 0.01


def _nominal(video: DemuxedVideo) -> float:
    """Frames per second before anything is decoded: as the file says, unless its frames' times say another number."""
    measured = _measured(video)
    agrees = not measured or abs(measured - video.rate) <= _SAME_RATE * measured
    return video.rate if video.rate > 0 and agrees else measured


def _measured(video: DemuxedVideo) -> float:
    """Frames per second by the frames' times; 0 where these are unknown."""
    clock = video.clock()
    times = [clock.add(time * video.seconds) for time in video.times]
    return (len(times) - 1) / times[-1] if times and times[-1] > 0 else 0.0


def _positive(total: int, field: str) -> int:
    if total < 1:
        raise _no_frames(field)
    return total


def _no_frames(field: str) -> InvalidArgument:
    return InvalidArgument(
        f"{field}: not one frame can be decoded; the file is damaged, record or convert it again",
        field=field,
        reason="NO_FRAMES",
    )


def _clock(decoded: DecodedFrames, video: DemuxedVideo) -> tuple[list[float], float, SourceClock]:
    """Seconds since the first frame for every frame seen (empty when unknown), the frame rate (0 when unknown), and
    where the clock is not to be believed."""
    clock = video.clock()
    if video.seconds <= 0 or all(time is None for time in decoded.times):
        if video.rate > 0:
            return [position / video.rate for position in range(len(decoded.times))], video.rate, clock
        return [], 0.0, clock
    seconds = [clock.add(None if time is None else time * video.seconds) for time in decoded.times]
    if video.times:
        return seconds, _measured(video) or video.rate, clock
    return seconds, (len(seconds) - 1) / seconds[-1] if seconds[-1] > 0 else video.rate, clock
