"""Opens sources of frames for a stream: a video file, a folder of images, a camera, a network address."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from service.client.clip_messages import clip_images
from service.client.stream_messages import Frame
from service.decoding.frame_converter import FrameConverter
from service.decoding.video_stream import best_video_stream
from service.errors import InvalidArgument, Unavailable

FOLDER_FPS = 12.0
"""Frames per second of a folder of images, which does not say."""

_SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "srt://", "udp://", "tcp://", "http://", "https://")
_DEVICE = "/dev/video"
_OPEN_SECONDS = 10.0
_STALL_SECONDS = 10.0


@dataclass(frozen=True)
class FrameSource:
    """Frames, once through. live: they come by themselves, and those not taken in time are gone.

    frames: raises InvalidArgument or Unavailable when the source cannot be read. close: ends the iteration soon; may
    be called from any thread.
    """

    name: str
    live: bool
    frames: Iterator[Frame]
    close: Callable[[], None]


def open_source(where: str, *, loop: bool = False, realtime: bool = False, fps: float = FOLDER_FPS) -> FrameSource:
    """A file, a folder of PNG or JPEG images, a camera ("0", "/dev/video0"), or a stream address ("rtsp://...").

    loop: begin again at the end of a file. realtime: hand a file's frames out at its own speed as a camera would.
    fps: of a folder of images. Raises InvalidArgument when `where` is nothing of these.
    """
    stop = threading.Event()
    camera = where.removeprefix(_DEVICE)
    if camera.isdecimal():
        return _live(where, lambda: _camera(int(camera)), stop)
    if where.lower().startswith(_SCHEMES):
        return _live(where, lambda: _address(where), stop)
    path = Path(where)
    if where and path.is_dir():
        files = clip_images(path)
        once: Callable[[], Iterator[Frame]] = lambda: _images(files, fps)  # noqa: E731
    elif path.is_file():
        once = lambda: _video(str(path), {})  # noqa: E731
    else:
        raise InvalidArgument(
            f"source: {where!r} is no file or folder; give one, a camera number (0), or an address ({_SCHEMES[0]}...)",
            field="source",
            reason="UNKNOWN_SOURCE",
        )
    frames = _looped(once, stop) if loop else _stopped(once(), stop)
    if realtime:
        return _live(where, lambda: _paced(frames, stop), stop)
    return FrameSource(where, False, frames, stop.set)


def _video(where: str, options: dict[str, str]) -> Iterator[Frame]:
    """Frames of anything that libav opens, numbered, in presentation order."""
    try:
        with av.open(where, options=options, timeout=(_OPEN_SECONDS, _STALL_SECONDS)) as container:
            stream = best_video_stream(container)
            if stream is None:
                raise InvalidArgument(f"source: {where} has no video in it", field="source", reason="NO_VIDEO_STREAM")
            if stream.codec_context is None:
                raise InvalidArgument(
                    f"source: {where}: no decoder for its video; convert it", field="source", reason="CODEC_UNSUPPORTED"
                )
            stream.thread_type = "AUTO"
            converter = FrameConverter(stream)
            rate = float(stream.average_rate or 0) or 25.0
            first, newest = None, -1.0
            for number, frame in enumerate(container.decode(stream)):
                now = number / rate if frame.time is None else frame.time
                first = now if first is None else first
                # Damaged files have times that stand still or jump back.
                newest = max(now - first, newest + 1e-3) if number else 0.0
                yield Frame(converter.image(frame), number, newest)
    except (av.FFmpegError, OSError) as error:
        kind = Unavailable if where.startswith(_SCHEMES) else InvalidArgument
        raise kind(f"source: {where} cannot be read: {error}", field="source", reason="SOURCE_FAILED") from error


def _address(where: str) -> Iterator[Frame]:
    options = {"fflags": "nobuffer", "flags": "low_delay"}
    if where.lower().startswith("rtsp"):
        # UDP loses packets, which shows as grey smear that a model takes for motion.
        options["rtsp_transport"] = "tcp"
    return _video(where, options)


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
    number, offset = 0, 0.0
    while not stop.is_set():
        last = step = 0.0
        count = 0
        for frame in once():
            if stop.is_set():
                return
            step = frame.timestamp - last if count else step
            last = frame.timestamp
            yield replace(frame, sequence=number, timestamp=offset + last)
            number, count = number + 1, count + 1
        if not count:
            return
        offset += last + (step or 1 / 25)


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


def _live(name: str, once: Callable[[], Iterator[Frame]], stop: threading.Event) -> FrameSource:
    mailbox = _Mailbox(name, once, stop)
    return FrameSource(name, True, mailbox.frames(), mailbox.close)


class _Mailbox:
    """The newest frame of a source that does not wait. Frames nobody took are left out, which their numbers show."""

    def __init__(self, name: str, once: Callable[[], Iterator[Frame]], stop: threading.Event) -> None:
        self._name = name
        self._once = once
        self._stop = stop
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._error: BaseException | None = None
        self._done = False

    def frames(self) -> Iterator[Frame]:
        threading.Thread(target=self._capture, name="capture", daemon=True).start()
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._newest is not None or self._done, _STALL_SECONDS):
                    raise Unavailable(f"source: no frame from {self._name} for {_STALL_SECONDS:g} s", field="source")
                frame, self._newest = self._newest, None
            if frame is not None:
                yield frame
            elif self._error is not None:
                raise self._error
            else:
                return

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
