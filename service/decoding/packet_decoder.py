"""Decodes the frames of a reel that are asked for, and no more of them than needed is ever held."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from service.decoding.deadline import Deadline
from service.decoding.demuxer import Reel
from service.decoding.image import too_many_scans
from service.decoding.orientation import upright
from service.settings import Limits

# Codecs in which one packet is one frame and a keyframe can be decoded without what lies before it, in containers
# whose frame times can be trusted: only there may parts of a file be left out.
_SKIPPABLE = frozenset({"h264", "hevc", "mpeg4", "vp9", "av1", "mjpeg", "png", "prores", "rawvideo"})
_TIMED = ("mov", "matroska")
# Jumping is worth it when it saves this share of the decoding.
_WORTHWHILE = 0.25


@dataclass(slots=True)
class Footage:
    """What was decoded. frames: results of `keep` by position. times: presentation times of all frames that were
    seen, or of all frames of the file. total: frames in the file, None when the end was not reached."""

    frames: dict[int, Any] = field(default_factory=dict)
    times: list[int | None] = field(default_factory=list)
    total: int | None = None


def decode_frames(
    reel: Reel,
    wanted: Collection[int],
    keep: Callable[[NDArray[np.uint8]], Any],
    limits: Limits,
    deadline: Deadline,
) -> Footage:
    """Decode the frames at the given positions (in order of presentation) and store `keep(picture)` of each.

    Each picture is uint8 [H, W, 3] RGB, upright, at full size, and is dropped after `keep`. Packets that do not
    decode are passed over. Positions past the end are missing from the result, and `total` says where it is.
    Raises DeadlineExceeded.
    """
    plan = _plan(reel, wanted)
    if plan is not None:
        footage = _jumping(reel, plan, keep, limits, deadline)
        if footage is not None:
            return footage
    return _straight(reel, wanted, keep, limits, deadline)


def _straight(
    reel: Reel, wanted: Collection[int], keep: Callable[[NDArray[np.uint8]], Any], limits: Limits, deadline: Deadline
) -> Footage:
    """Decode from the beginning, counting, until the last wanted frame or, when that is the file's last, the end."""
    reel.codec.flush_buffers()
    footage = Footage()
    last = max(wanted)
    to_the_end = last >= len(reel.packets) - 1
    for frame in _decode(reel, 0, limits, deadline):
        position = len(footage.times)
        footage.times.append(frame.pts if frame.pts is not None else frame.dts)
        if position in wanted:
            footage.frames[position] = keep(upright(frame))
        if position == last and not to_the_end:
            return footage
    footage.total = len(footage.times)
    return footage


@dataclass(frozen=True, slots=True)
class _Jump:
    """Decode from packet `begin` until the frames at `positions` have come out."""

    begin: int
    positions: tuple[int, ...]


def _plan(reel: Reel, wanted: Collection[int]) -> list[_Jump] | None:
    """Which parts to decode, or None when leaving parts out is unsafe or not worth it."""
    if (
        reel.codec.codec.canonical_name not in _SKIPPABLE
        or not reel.container.startswith(_TIMED)
        or len(reel.times) != len(reel.packets)
        or max(wanted) >= len(reel.times)
    ):
        return None
    keys = [(packet.pts, place) for place, packet in enumerate(reel.packets) if packet.is_keyframe]
    if len(keys) < 2 or keys != sorted(keys) or keys[0][1] != 0:
        return None
    key_times = [time for time, _ in keys]
    by_key: dict[int, list[int]] = {}
    for position in sorted(wanted):
        key = max(bisect_right(key_times, reel.times[position]) - 1, 0)
        by_key.setdefault(keys[key][1], []).append(position)
    jumps = [_Jump(begin, tuple(positions)) for begin, positions in by_key.items()]
    cost = sum(jump.positions[-1] - jump.begin + 1 for jump in jumps)
    return jumps if cost <= (1 - _WORTHWHILE) * (max(wanted) + 1) else None


def _jumping(
    reel: Reel, plan: list[_Jump], keep: Callable[[NDArray[np.uint8]], Any], limits: Limits, deadline: Deadline
) -> Footage | None:
    """Decode only what leads to the wanted frames; None when a frame does not come out at its time."""
    footage = Footage(times=list(reel.times), total=len(reel.times))
    for jump in plan:
        reel.codec.flush_buffers()
        missing = {reel.times[position]: position for position in jump.positions}
        for frame in _decode(reel, jump.begin, limits, deadline):
            if frame.pts is not None and frame.pts in missing:
                footage.frames[missing.pop(frame.pts)] = keep(upright(frame))
            if not missing:
                break
        if missing:
            return None
    return footage


def _decode(reel: Reel, begin: int, limits: Limits, deadline: Deadline) -> Iterator[av.VideoFrame]:
    scanned = reel.codec.codec.canonical_name == "mjpeg"
    for packet in (*reel.packets[begin:], None):
        deadline.check()
        if scanned and packet is not None and too_many_scans(bytes(packet)):
            continue
        try:
            frames = reel.codec.decode(packet)
        except (av.FFmpegError, ValueError):
            continue
        for frame in frames:
            if frame.width * frame.height <= limits.pixels:
                yield frame
