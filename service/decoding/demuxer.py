"""Takes a video file apart into packets and frame times, checking all limits; nothing is decoded yet."""

from __future__ import annotations

import ctypes
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import av
from av.stream import Discard

from service.decoding.container import CONTAINERS, demuxer_name, safe_movie
from service.decoding.deadline import Deadline
from service.decoding.frame_converter import FrameConverter
from service.decoding.image import check_size
from service.decoding.video_stream import best_video_stream, choice_note
from service.errors import InvalidArgument
from service.readings.source_clock import SourceClock, rate_note
from service.settings import Limits

# While libav looks for the codec's parameters it may decode a frame: that one must not be huge either. Above the
# usual limit, so that the refusal of an 8K file (33 million) can name its size.
_PROBE_PIXELS = 2**25
# Decoders count whole coding blocks.
_EXTRA_PIXELS = 2**18
# Bytes of the largest block that libav may ask for: a probed frame of 16 bits per channel with alpha, and its edges.
# What a file can make grow is an array in one block (indices, tracks, inflated texts), so that this ends its growth.
_BYTES_PER_PIXEL = 8
_EDGES = 2**26
# Seconds by which frames that are decoded one after the other may be shown the other way round.
_REORDERED = 1.0


@dataclass(frozen=True, slots=True)
class DemuxedVideo:
    """An open video file: `packets` in decoding order and `times` of the frames as shown.

    times: presentation times of the frames in units of the stream's time base, as the file has them: rising but for
    discontinuities of its clock; empty when the file has none or not one per packet. seconds: length of one unit. rate:
    frames per second by the container, 0 when unknown. converter: makes images of its frames. choice:
    which of several video streams this is, for people; "" of one.
    """

    codec: Any
    converter: FrameConverter
    container: str
    packets: tuple[Any, ...]
    times: tuple[int, ...]
    seconds: float
    rate: float
    choice: str

    def clock(self) -> SourceClock:
        """Make a new clock for the frames' times in seconds."""
        return SourceClock(self.rate, self.container)


class _TimedReader(io.BytesIO):
    """The file's bytes; reading them stops when the time is over, which ends any loop inside a demuxer."""

    def __init__(self, data: bytes, deadline: Deadline) -> None:
        super().__init__(data)
        self._deadline = deadline

    def read(self, size: int | None = -1, /) -> bytes:
        self._deadline.check()
        return super().read(size)


@contextmanager
def demux(data: bytes, limits: Limits, deadline: Deadline, field: str) -> Iterator[DemuxedVideo]:
    """Open a video file held in memory and check it against the limits without decoding it.

    Raises InvalidArgument (with `field`): VIDEO_EMPTY, VIDEO_UNRECOGNISED, NO_VIDEO_STREAM, CODEC_UNSUPPORTED,
    PICTURE_TOO_LARGE, TOO_MANY_FRAMES, CLIP_TOO_LONG, NO_FRAMES, VIDEO_BROKEN; DeadlineExceeded.
    """
    if not data:
        raise InvalidArgument(f"{field}: is empty; send a whole video file", field=field, reason="VIDEO_EMPTY")
    format_name = demuxer_name(data)
    if format_name is None:
        raise _unrecognised(data, field)
    checked = safe_movie(data) if format_name == "mov" else data
    if checked is None:
        raise _broken("its index promises more frames and sound than a file can hold", field)
    _bound_blocks(limits)
    try:
        container = av.open(
            _TimedReader(checked, deadline),
            "r",
            # Named, so that nothing is guessed and no other demuxer ever sees the bytes.
            format=format_name,
            # Options reach the demuxer and, where it knows its streams by then, the decoders used for probing.
            options={"max_pixels": str(_PROBE_PIXELS), "threads": "1"},
            metadata_errors="replace",
            io_open=_refuse,
        )
    except (av.FFmpegError, ValueError) as error:
        raise _unrecognised(data, field) from error
    with container:
        stream = _video_stream(container, limits, field)
        packets = _demux(container, stream, len(data), limits, deadline, field)
        video = _demuxed(container, stream, packets)
        _check_length(video, limits, field)
        yield video


# libav's functions are found through the module that is linked with them, wherever PyAV has put them.
_LIBAV = ctypes.CDLL(av._core.__file__)
_LIBAV.av_max_alloc.argtypes = [ctypes.c_size_t]
_LIBAV.av_max_alloc.restype = None


def _bound_blocks(limits: Limits) -> None:
    """Let libav allocate no block larger than a frame; for this process."""
    _LIBAV.av_max_alloc(_BYTES_PER_PIXEL * max(_PROBE_PIXELS, limits.pixels + _EXTRA_PIXELS) + _EDGES)


def _refuse(url: str, *_: Any) -> Any:
    raise PermissionError(f"the file refers to another one ({url}); only what is inside the message is read")


def _video_stream(container: Any, limits: Limits, field: str) -> Any:
    stream = best_video_stream(container)
    if stream is None:
        raise InvalidArgument(
            f"{field}: the file has no video in it; send one with a video stream", field=field, reason="NO_VIDEO_STREAM"
        )
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    codec = stream.codec_context
    name = codec.codec.canonical_name if codec is not None else "unknown"
    if codec is None or name not in limits.codecs:
        raise InvalidArgument(
            f"{field}: codec {name!r} is not accepted; convert the video to one of {', '.join(sorted(limits.codecs))}",
            field=field,
            reason="CODEC_UNSUPPORTED",
        )
    if codec.width < 1 or codec.height < 1:
        raise InvalidArgument(
            f"{field}: the header gives no image size that could be used; at most {limits.pixels} pixels are taken",
            field=field,
            reason="PICTURE_TOO_LARGE",
        )
    check_size(codec.width, codec.height, limits, field)
    # One thread per clip: the pool decodes several clips at once. A size that grows on the way is refused by the
    # decoder, which gets a little more than the limit.
    codec.thread_count = 1
    codec.options = {"max_pixels": str(limits.pixels + _EXTRA_PIXELS)}
    return stream


def _demux(container: Any, stream: Any, size: int, limits: Limits, deadline: Deadline, field: str) -> list[Any]:
    packets: list[Any] = []
    held = 0
    try:
        for packet in container.demux(stream):
            deadline.check()
            # An empty packet ends the stream.
            if not packet.size:
                continue
            held += packet.size
            if held > 2 * size:
                raise _broken("its index names the same bytes many times", field)
            packets.append(packet)
            if len(packets) > limits.frames:
                raise InvalidArgument(
                    f"{field}: more than {limits.frames} frames; cut the clip",
                    field=field,
                    reason="TOO_MANY_FRAMES",
                )
    except (av.FFmpegError, ValueError):
        # What was read so far is used: a recording that was cut off is still a clip.
        pass
    # The cut-off end of a truncated file. Where recordings were joined, the packet before is said to be damaged too,
    # and is not.
    if packets and packets[-1].is_corrupt:
        packets.pop()
    if not packets:
        raise InvalidArgument(
            f"{field}: the video stream has no frames; the file is cut off or was never finished",
            field=field,
            reason="NO_FRAMES",
        )
    return packets


def _demuxed(container: Any, stream: Any, packets: list[Any]) -> DemuxedVideo:
    seconds = float(stream.time_base) if stream.time_base else 0.0
    return DemuxedVideo(
        codec=stream.codec_context,
        converter=FrameConverter(stream),
        container=container.format.name,
        packets=tuple(packets),
        times=_presentation_times([packet for packet in packets if not packet.is_discard], seconds),
        seconds=seconds,
        rate=float(stream.average_rate or 0),
        choice=choice_note(container),
    )


def _presentation_times(packets: list[Any], seconds: float) -> tuple[int, ...]:
    """The times of frames in the order in which they are shown. Where the clock starts again, so does the sorting."""
    stretches: list[list[int]] = [[]]
    last: int | None = None
    exact = True
    for packet in packets:
        if packet.pts is None:
            return ()
        # The times of decoding rise between discontinuities; not every container has them, Matroska not for all frames.
        stamp, were_exact, exact = packet.pts if packet.dts is None else packet.dts, exact, packet.dts is not None
        reach = 0.0 if exact and were_exact else _REORDERED
        if last is not None and (stamp - last) * seconds < -reach:
            stretches.append([])
        stretches[-1].append(packet.pts)
        last = stamp
    if any(len(set(times)) < len(times) for times in stretches):
        return ()
    return tuple(time for times in stretches for time in sorted(times))


def _check_length(video: DemuxedVideo, limits: Limits, field: str) -> None:
    count = len(video.packets)
    if len(video.times) > 1:
        clock = video.clock()
        # The last frame is shown too: as long as the others on average.
        length = [clock.add(time * video.seconds) for time in video.times][-1] * count / (count - 1)
    else:
        length = count / video.rate if video.rate > 0 else 0.0
    if length > limits.seconds:
        doubt = rate_note(count / length)
        raise InvalidArgument(
            f"{field}: the clip is {length:.0f} s long, the limit is {limits.seconds:g} s; cut it"
            + (f" ({doubt})" if doubt else ""),
            field=field,
            reason="CLIP_TOO_LONG",
        )


def _broken(why: str, field: str) -> InvalidArgument:
    return InvalidArgument(
        f"{field}: the file is damaged: {why}; record or convert it again", field=field, reason="VIDEO_BROKEN"
    )


def _unrecognised(data: bytes, field: str) -> InvalidArgument:
    hint = f"send one of {', '.join(CONTAINERS)}"
    if data.startswith((b"\xff\xd8\xff", b"\x89PNG")):
        hint = "this is an image: send images in clip.frames.images"
    return InvalidArgument(
        f"{field}: is not a video file that can be read, or is cut off before its index; {hint}",
        field=field,
        reason="VIDEO_UNRECOGNISED",
    )
