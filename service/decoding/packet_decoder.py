"""Decodes the requested frames of a demuxed video; no more of them than needed is ever held."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from service.decoding.deadline import Deadline
from service.decoding.demuxer import DemuxedVideo
from service.decoding.image import too_many_scans
from service.decoding.png_chunks import plain_png
from service.settings import Limits

# Codecs in which one packet is one frame and a keyframe can be decoded without what lies before it, in containers
# whose frame times can be trusted: only there may parts of a file be left out.
_SKIPPABLE = frozenset({"h264", "hevc", "mpeg4", "vp9", "av1", "mjpeg", "png", "prores", "rawvideo"})
_TIMED = ("mov", "matroska")
# Jumping is worth it when it saves this share of the decoding.
_WORTHWHILE = 0.25


@dataclass(slots=True)
class DecodedFrames:
    """Frames as decoded. frames: results of `keep` by position. times: presentation times of all frames that were
    seen, or of all frames of the file. total: frames in the file, None when the end was not reached."""

    frames: dict[int, Any] = field(default_factory=dict)
    times: list[int | None] = field(default_factory=list)
    total: int | None = None


def decode_frames(
    video: DemuxedVideo,
    wanted: Collection[int],
    keep: Callable[[NDArray[np.uint8]], Any],
    limits: Limits,
    deadline: Deadline,
) -> DecodedFrames:
    """Decode the frames at the given positions (in order of presentation) and store `keep(image)` of each.

    Each image is uint8 [H, W, 3] RGB, upright, at full size, and is dropped after `keep`. Packets that do not
    decode are passed over. Positions past the end are missing from the result, and `total` says where it is.
    Raises DeadlineExceeded.
    """
    plan = _plan(video, wanted)
    if plan is not None:
        decoded = _decode_jumps(video, plan, keep, limits, deadline)
        if decoded is not None:
            return decoded
    return _decode_from_the_start(video, wanted, keep, limits, deadline)


def _decode_from_the_start(
    video: DemuxedVideo,
    wanted: Collection[int],
    keep: Callable[[NDArray[np.uint8]], Any],
    limits: Limits,
    deadline: Deadline,
) -> DecodedFrames:
    """Decode from the beginning, counting, until the last wanted frame or, when that is the file's last, the end."""
    video.codec.flush_buffers()
    decoded = DecodedFrames()
    last = max(wanted)
    to_the_end = last >= len(video.packets) - 1
    for frame in _decode(video, 0, limits, deadline):
        position = len(decoded.times)
        decoded.times.append(frame.pts if frame.pts is not None else frame.dts)
        if position in wanted:
            decoded.frames[position] = keep(video.converter.image(frame))
        if position == last and not to_the_end:
            return decoded
    decoded.total = len(decoded.times)
    return decoded


@dataclass(frozen=True, slots=True)
class _Jump:
    """Decode from packet `begin` until the frames at `positions` have come out."""

    begin: int
    positions: tuple[int, ...]


def _plan(video: DemuxedVideo, wanted: Collection[int]) -> list[_Jump] | None:
    """The parts to decode, or None when leaving parts out is unsafe or not worth it."""
    if (
        video.codec.codec.canonical_name not in _SKIPPABLE
        or not video.container.startswith(_TIMED)
        or len(video.times) != len(video.packets)
        # Frames are found by their times: not where the clock starts again.
        or any(later <= earlier for earlier, later in pairwise(video.times))
        or max(wanted) >= len(video.times)
    ):
        return None
    keys = [(packet.pts, position) for position, packet in enumerate(video.packets) if packet.is_keyframe]
    if len(keys) < 2 or keys != sorted(keys) or keys[0][1] != 0:
        return None
    key_times = [time for time, _ in keys]
    by_key: dict[int, list[int]] = {}
    for position in sorted(wanted):
        key = max(bisect_right(key_times, video.times[position]) - 1, 0)
        by_key.setdefault(keys[key][1], []).append(position)
    jumps = [_Jump(begin, tuple(positions)) for begin, positions in by_key.items()]
    cost = sum(jump.positions[-1] - jump.begin + 1 for jump in jumps)
    return jumps if cost <= (1 - _WORTHWHILE) * (max(wanted) + 1) else None


def _decode_jumps(
    video: DemuxedVideo, plan: list[_Jump], keep: Callable[[NDArray[np.uint8]], Any], limits: Limits, deadline: Deadline
) -> DecodedFrames | None:
    """Decode only what leads to the wanted frames; None when a frame does not come out at its time."""
    decoded = DecodedFrames(times=list(video.times), total=len(video.times))
    for jump in plan:
        video.codec.flush_buffers()
        missing = {video.times[position]: position for position in jump.positions}
        for frame in _decode(video, jump.begin, limits, deadline):
            if frame.pts is not None and frame.pts in missing:
                decoded.frames[missing.pop(frame.pts)] = keep(video.converter.image(frame))
            if not missing:
                break
        if missing:
            return None
    return decoded


def _decode(video: DemuxedVideo, begin: int, limits: Limits, deadline: Deadline) -> Iterator[av.VideoFrame]:
    harmless = _HARMLESS.get(video.codec.codec.canonical_name, _as_it_is)
    for packet in (*video.packets[begin:], None):
        deadline.check()
        try:
            frames = video.codec.decode(None if packet is None else harmless(packet))
        except (av.FFmpegError, ValueError):
            continue
        for frame in frames:
            if frame.width * frame.height <= limits.pixels:
                yield frame


def _as_it_is(packet: Any) -> Any:
    return packet


def _few_scans(packet: Any) -> Any:
    if too_many_scans(bytes(packet)):
        raise ValueError("more scans than any honest encoder writes")
    return packet


def _plain(packet: Any) -> Any:
    """The packet of a PNG without what a decoder would unpack beside the pixels."""
    made: Any = av.Packet(plain_png(bytes(packet)))
    made.pts, made.dts, made.time_base, made.duration = packet.pts, packet.dts, packet.time_base, packet.duration
    made.is_keyframe = packet.is_keyframe
    return made


_HARMLESS: dict[str, Callable[[Any], Any]] = {"mjpeg": _few_scans, "png": _plain}
"""By codec: packets as they may be decoded. Each raises ValueError for one that may not be."""
