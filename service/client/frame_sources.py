"""Opens sources of frames for a stream: a video file, a folder of images, a camera, a network address."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from service.client.clip_messages import clip_images
from service.client.stream_messages import Frame
from service.decoding.frame_converter import FrameConverter
from service.decoding.video_stream import best_video_stream, choice_note
from service.errors import ActionLensError, InvalidArgument, Unavailable
from service.readings.source_clock import SourceClock

FOLDER_FPS = 12.0
"""Frames per second of a folder of images, which does not say."""

_SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "srt://", "udp://", "tcp://", "http://", "https://")
_CAMERA_SCHEMES = ("rtsp://", "rtsps://")
_DEVICE = "/dev/video"
# The size of these files is not that of what they list.
_PLAYLISTS = ("hls", "dash")
_OPEN_SECONDS = 10.0
_STALL_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0


@dataclass(frozen=True)
class FrameSource:
    """Frames, once through. live: they come by themselves, and those not taken in time are gone.

    frames: raises InvalidArgument or Unavailable (field "source") when the source cannot be read, and Unavailable
    (SOURCE_ENDED) when a live one ends by itself; of a live one, a PatientSource. close: ends the iteration soon; may
    be called from any thread.
    """

    name: str
    live: bool
    frames: Iterator[Frame]
    close: Callable[[], None]


def open_source(
    where: str,
    *,
    loop: bool = False,
    realtime: bool = False,
    fps: float = FOLDER_FPS,
    live: bool | None = None,
    reconnect: bool | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> FrameSource:
    """A file, a folder of PNG or JPEG images, a camera ("0", "/dev/video0"), or a stream address ("rtsp://...").

    A recording behind an address is read as a file is: every frame, no faster than they are taken. Any other address,
    and a camera, is live.
    loop: begin again at the end of a file. realtime: hand a file's frames out at its own speed as a camera would.
    fps: of a folder of images. live: whether an address is live, and no recording; None: unless it has a length or a
    size, which a recording that is sent over TCP or UDP does not have. reconnect: open a live source that broke off or
    ended again, with pauses from 0.5 s to 15 s, for as long as that takes; None: cameras, rtsp addresses among them.
    report: takes a line for people when that happens. Raises InvalidArgument when `where` is nothing of these.
    """
    stop = threading.Event()
    camera = where.removeprefix(_DEVICE)
    if live is not None and not where.lower().startswith(_SCHEMES):
        raise InvalidArgument(
            f"source: {where!r} is no address: files and folders are recordings (--realtime plays them as if live), "
            "cameras are live",
            field="source",
            reason="NO_ADDRESS",
        )
    if camera.isdecimal():
        return _live(where, lambda: _camera(int(camera)), stop, reconnect is not False, report)
    if where.lower().startswith(_SCHEMES):
        first = _FirstTry(where, live)
        if not first.finite:
            again = where.lower().startswith(_CAMERA_SCHEMES) if reconnect is None else reconnect
            return _live(where, first.frames, stop, again, report, first.close)
        once, close = first.frames, first.close
    else:
        once, close = _local(where, fps), lambda: None
    frames = _looped(once, stop) if loop else _stopped(once(), stop)
    if realtime:
        mailbox = _Mailbox(where, lambda: _paced(frames, stop), stop, _STALL_SECONDS)
        return FrameSource(where, True, mailbox, _both(mailbox.close, close))
    return FrameSource(where, False, frames, _both(stop.set, close))


def _local(where: str, fps: float) -> Callable[[], Iterator[Frame]]:
    path = Path(where)
    if where and path.is_dir():
        files = clip_images(path)
        return lambda: _images(files, fps)
    if path.is_file():
        return lambda: _video(str(path), _open(str(path)))
    raise InvalidArgument(
        f"source: {where!r} is no file or folder; give one, a camera number (0), or an address ({_SCHEMES[0]}...)",
        field="source",
        reason="UNKNOWN_SOURCE",
    )


class _FirstTry:
    """An address, opened once to see what it is: many senders serve one viewer, once.

    finite: it is a recording. An error of the opening is raised by the first frame.
    """

    def __init__(self, where: str, live: bool | None) -> None:
        """live: known to be; None: it is to be found out."""
        self.finite = live is False
        self._where = where
        self._error: ActionLensError | None = None
        self._container: Any = None
        try:
            self._container = _open(where)
        except ActionLensError as error:
            self._error = error
        else:
            if live is None:
                listed = self._container.format.name.startswith(_PLAYLISTS)
                self.finite = bool(self._container.duration) or (not listed and self._container.size > 0)

    def frames(self) -> Iterator[Frame]:
        """The frames of the container that is open, or of another one."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        container, self._container = self._container, None
        yield from _video(self._where, container or _open(self._where), live=not self.finite)

    def close(self) -> None:
        """Close what nobody took."""
        container, self._container = self._container, None
        if container is not None:
            container.close()


def _open(where: str) -> Any:
    """Open anything that libav opens. Raises Unavailable or InvalidArgument."""
    # UDP loses packets, which shows as grey smear that a model takes for motion.
    options = {"rtsp_transport": "tcp"} if where.lower().startswith(_CAMERA_SCHEMES) else {}
    try:
        container = av.open(where, options=options, timeout=(_OPEN_SECONDS, _STALL_SECONDS))
    except (av.FFmpegError, OSError) as error:
        raise _unreadable(where, error) from error
    stream = best_video_stream(container)
    if stream is None:
        container.close()
        raise InvalidArgument(f"source: {where} has no video in it", field="source", reason="NO_VIDEO_STREAM")
    if stream.codec_context is None:
        container.close()
        raise InvalidArgument(
            f"source: {where}: no decoder for its video; convert it", field="source", reason="CODEC_UNSUPPORTED"
        )
    return container


def _video(where: str, container: Any, *, live: bool = False) -> Iterator[Frame]:
    """Frames of an open container, numbered, in presentation order; closes it."""
    seen = False
    try:
        with container:
            stream: Any = best_video_stream(container)
            # Threads that work on several frames hand them out late.
            stream.thread_type = "SLICE" if live else "AUTO"
            converter = FrameConverter(stream)
            clock = SourceClock(float(stream.average_rate or 0), container.format.name)
            note = choice_note(container)
            for number, frame in enumerate(_decoded(container.demux(stream))):
                now = clock.add(frame.time)
                seen = True
                yield Frame(converter.image(frame), number, now, len(clock.jumps), note)
    except (av.FFmpegError, OSError) as error:
        # The cut-off end of a file: the recording ends there, as it does for clips.
        if not (seen and isinstance(error, av.InvalidDataError)) or where.lower().startswith(_SCHEMES):
            raise _unreadable(where, error) from error


def _decoded(packets: Iterator[Any]) -> Iterator[Any]:
    """The frames of packets. As for clips, what does not decode is passed over, and so is the last packet where it is
    damaged: it is the cut-off end of a file."""
    damaged: list[Any] = []
    for packet in packets:
        # The empty packet after the last one takes what the decoder still has.
        whole = [*(damaged if packet.size else ()), *(() if packet.is_corrupt else (packet,))]
        damaged = [packet] if packet.is_corrupt else []
        for each in whole:
            try:
                frames = each.decode()
            except (av.FFmpegError, ValueError):
                continue
            yield from frames


def _unreadable(where: str, error: Exception) -> ActionLensError:
    kind = Unavailable if where.lower().startswith(_SCHEMES) else InvalidArgument
    return kind(f"source: {where} cannot be read: {error}", field="source", reason="SOURCE_FAILED")


def _camera(number: int) -> Iterator[Frame]:
    import cv2

    # A camera that is not there is reported once, by the error below.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            found = ", ".join(sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video*"))) or "none"
            raise Unavailable(
                f"source: camera {number} cannot be opened (cameras found: {found}); is another program using it?",
                field="source",
                reason="CAMERA_FAILED",
            )
        start = time.monotonic()
        count = 0
        while True:
            got, image = camera.read()
            if not got:
                raise Unavailable(f"source: camera {number} gives no more frames", field="source")
            yield Frame(_rgb(image), count, time.monotonic() - start)
            count += 1
    finally:
        camera.release()


def _rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image[..., ::-1], dtype=np.uint8)


def _images(files: list[Path], fps: float) -> Iterator[Frame]:
    for number, path in enumerate(files):
        yield Frame(path.read_bytes(), number, number / fps)


def _looped(once: Callable[[], Iterator[Frame]], stop: threading.Event) -> Iterator[Frame]:
    """The frames over and over, with numbers and times that go on rising."""
    number, offset, jumps = 0, 0.0, 0
    while not stop.is_set():
        last = step = 0.0
        count, seen = 0, jumps
        for frame in once():
            if stop.is_set():
                return
            step = frame.timestamp - last if count else step
            last = frame.timestamp
            seen = jumps + frame.clock_jumps
            yield replace(frame, sequence=number, timestamp=offset + last, clock_jumps=seen)
            number, count = number + 1, count + 1
        if not count:
            return
        offset += last + (step or 1 / 25)
        jumps = seen


def _stopped(frames: Iterator[Frame], stop: threading.Event) -> Iterator[Frame]:
    for frame in frames:
        if stop.is_set():
            return
        yield frame


def _paced(frames: Iterator[Frame], stop: threading.Event) -> Iterator[Frame]:
    """Each frame no earlier than its timestamp after the first."""
    start = time.monotonic()
    for frame in frames:
        if stop.wait(max(0.0, start + frame.timestamp - time.monotonic())):
            return
        yield frame


def _live(
    name: str,
    once: Callable[[], Iterator[Frame]],
    stop: threading.Event,
    reconnect: bool,
    report: Callable[[str], None],
    close: Callable[[], None] = lambda: None,
) -> FrameSource:
    # Made where they are read: they close the connection when that ends.
    frames = partial(_lasting, name, once, stop, reconnect, report)
    mailbox = _Mailbox(name, frames, stop, None if reconnect else _STALL_SECONDS)
    return FrameSource(name, True, mailbox, _both(mailbox.close, close))


def _lasting(
    name: str,
    once: Callable[[], Iterator[Frame]],
    stop: threading.Event,
    reconnect: bool,
    report: Callable[[str], None],
) -> Iterator[Frame]:
    """The frames of a live source, over all its connections, with numbers and times that go on rising.

    The time without a connection passes. Raises when a source ends or fails that is not to be opened again, or that
    never had a frame.
    """
    number, jumps, offset, last, seen = 0, 0, 0.0, 0.0, 0.0
    pause = _FIRST_PAUSE
    while True:
        count, more = 0, 0
        error: ActionLensError
        try:
            for frame in once():
                if stop.is_set():
                    return
                if not count and number:
                    offset = last + (time.monotonic() - seen) - frame.timestamp
                last, seen, more = offset + frame.timestamp, time.monotonic(), frame.clock_jumps
                yield replace(frame, sequence=number, timestamp=last, clock_jumps=jumps + more)
                number, count, pause = number + 1, count + 1, _FIRST_PAUSE
            error = Unavailable(f"source: {name} ended: it sends no more frames", field="source", reason="SOURCE_ENDED")
        except (Unavailable, InvalidArgument) as failed:
            error = failed
        if stop.is_set():
            return
        if not (reconnect and number):
            raise error
        jumps += more
        report(f"{error.message}; trying again in {pause:g} s")
        if stop.wait(pause):
            return
        pause = min(2 * pause, _LONGEST_PAUSE)


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        first()
        second()

    return run


class _Mailbox(Iterator[Frame]):
    """The newest frame of a source that does not wait. Frames nobody took are left out, which their numbers show."""

    def __init__(
        self, name: str, once: Callable[[], Iterator[Frame]], stop: threading.Event, patience: float | None
    ) -> None:
        """patience: seconds without a frame after which the source counts as dead; None: it is looked after."""
        self._name = name
        self._once = once
        self._stop = stop
        self._patience = patience
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._error: BaseException | None = None
        self._begun = self._done = False

    def __next__(self) -> Frame:
        if not self.wait(self._patience):
            raise Unavailable(f"source: no frame from {self._name} for {self._patience:g} s", field="source")
        with self._changed:
            frame, self._newest = self._newest, None
        if frame is not None:
            return frame
        if self._error is not None:
            raise self._error
        raise StopIteration

    def wait(self, seconds: float | None) -> bool:
        """Wait so long, None: without end, until the next frame, or the end, can be had. Returns whether it can."""
        with self._changed:
            if not self._begun:
                self._begun = True
                threading.Thread(target=self._capture, name="capture", daemon=True).start()
            return self._changed.wait_for(lambda: self._newest is not None or self._done, seconds)

    def close(self) -> None:
        self._stop.set()
        with self._changed:
            self._done = True
            self._changed.notify_all()

    def _capture(self) -> None:
        try:
            for frame in self._once():
                with self._changed:
                    if self._done:
                        return
                    self._newest = frame
                    self._changed.notify_all()
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._done = True
                self._changed.notify_all()
