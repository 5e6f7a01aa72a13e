"""Decodes what clients send, in this process or in confined ones."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import clip_pb2, model_pb2
from service.decoding.clip import DecodedClip, decode_clip
from service.decoding.display import display_frames
from service.decoding.fit import placement_of
from service.decoding.image import decode_frame
from service.decoding.process.decoder_process import DecoderDied, DecoderProcess
from service.errors import ActionLensError, DeadlineExceeded, InvalidArgument, ResourceExhausted, Unavailable
from service.settings import DecoderPlace, Settings

# The decoder keeps the time itself, and says so better than who waits for it.
_SPARE_SECONDS = 5.0
_ATTEMPTS = 2
_ERRORS = (InvalidArgument, DeadlineExceeded)


class Decoder(Protocol):
    """Decodes on the caller's thread. Use from any thread."""

    @property
    def restarts(self) -> int:
        """How often a decoder process was started again after its end."""

    def start(self) -> None:
        """Get ready before the first work. Raises Unavailable."""

    def clip(self, clip: clip_pb2.Clip, sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput) -> DecodedClip:
        """As `decode_clip`."""

    def frame(
        self, image: bytes, model_input: model_pb2.ModelInput, first: tuple[int, int] | None
    ) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """As `decode_frame`, for "frame.image"."""

    def display(self, clip: clip_pb2.Clip, indices: Sequence[int], max_side: int) -> NDArray[np.uint8]:
        """As `display_frames`."""

    def close(self) -> None:
        """Decode no more."""


def make_decoder(settings: Settings) -> Decoder:
    """A decoder where the settings want it, for as many threads as they name for decoding."""
    return InProcessDecoder(settings) if settings.decoder.place is DecoderPlace.IN_PROCESS else DecoderPool(settings)


class InProcessDecoder:
    """Decodes in this process: for one's own files."""

    restarts = 0

    def __init__(self, settings: Settings) -> None:
        """settings: of which the limits count."""
        self._limits = settings.limits

    def start(self) -> None:
        """See Decoder."""

    def clip(self, clip: clip_pb2.Clip, sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput) -> DecodedClip:
        """See Decoder."""
        return decode_clip(clip, sampling, model_input, self._limits)

    def frame(
        self, image: bytes, model_input: model_pb2.ModelInput, first: tuple[int, int] | None
    ) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """See Decoder."""
        return decode_frame(image, model_input, first, self._limits, "frame.image")

    def display(self, clip: clip_pb2.Clip, indices: Sequence[int], max_side: int) -> NDArray[np.uint8]:
        """See Decoder."""
        return display_frames(clip, indices, max_side, self._limits)

    def close(self) -> None:
        """See Decoder."""


class DecoderPool:
    """Decodes in processes that have little to lose, each with one work at a time.

    A work during which its process ends is tried once more, in a new one, since it need not be to blame. All methods
    also raise InvalidArgument (DECODER_FAILED) for a work that ends its process, and Unavailable when none can be
    started. A frame that takes too long is InvalidArgument (DECODE_TOO_SLOW). Pixels that come as such are not decoded,
    and stay here.
    """

    def __init__(self, settings: Settings) -> None:
        """settings: of which threads for decoding, limits, and the decoder's own count."""
        self._limits = settings.limits
        self._processes = [DecoderProcess(settings) for _ in range(settings.decode_threads)]
        # The last one used goes first: with little to do, the others need not start.
        self._idle: queue.LifoQueue[DecoderProcess] = queue.LifoQueue()
        for process in self._processes:
            self._idle.put(process)

    @property
    def restarts(self) -> int:
        """See Decoder."""
        return sum(max(0, process.starts - 1) for process in self._processes)

    @property
    def pids(self) -> list[int]:
        """Numbers of the processes that were started."""
        return [process.pid for process in self._processes if process.pid]

    def start(self) -> None:
        """See Decoder."""
        for process in self._processes:
            process.start()

    def clip(self, clip: clip_pb2.Clip, sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput) -> DecodedClip:
        """See Decoder."""
        source = clip.WhichOneof("source")
        if source not in ("video", "frames"):
            return decode_clip(clip, sampling, model_input, self._limits)
        parts = [message.SerializeToString() for message in (clip, sampling, model_input)]
        told, pixels = self._ask({"kind": "clip"}, parts, f"clip.{source}")
        with _believing(f"clip.{source}"):
            _check_shape(pixels, len(told["indices"]), model_input.height, model_input.width)
            width, height = (int(side) for side in told["source"])
            return DecodedClip(
                frames=pixels,
                indices=tuple(int(index) for index in told["indices"]),
                count=int(told["count"]),
                timestamps=tuple(float(time) for time in told["timestamps"]),
                source_width=width,
                source_height=height,
                fps=float(told["fps"]),
                effective_fps=float(told["effective_fps"]),
                placement=placement_of(width, height, model_input),
                notes=tuple(str(note) for note in told["notes"]),
            )

    def frame(
        self, image: bytes, model_input: model_pb2.ModelInput, first: tuple[int, int] | None
    ) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """See Decoder."""
        parts = [image, model_input.SerializeToString()]
        try:
            told, pixels = self._ask({"kind": "frame", "first": first}, parts, "frame.image")
        except DeadlineExceeded as error:
            # It is the picture's fault, and no deadline of the stream.
            raise InvalidArgument(error.message, field=error.field, reason=error.reason) from None
        with _believing("frame.image"):
            _check_shape(pixels, model_input.height, model_input.width)
            width, height = told["came_as"]
            return pixels, (int(width), int(height))

    def display(self, clip: clip_pb2.Clip, indices: Sequence[int], max_side: int) -> NDArray[np.uint8]:
        """See Decoder."""
        if clip.WhichOneof("source") == "raw":
            return display_frames(clip, indices, max_side, self._limits)
        header = {"kind": "display", "indices": list(indices), "max_side": max_side}
        return self._ask(header, [clip.SerializeToString()], "clip")[1]

    def close(self) -> None:
        """See Decoder."""
        for process in self._processes:
            process.close()

    def _ask(
        self, header: dict[str, Any], parts: Sequence[bytes], field: str
    ) -> tuple[dict[str, Any], NDArray[np.uint8]]:
        """Let a process work: what it tells, and its pixels."""
        seconds = self._limits.decode_seconds + _SPARE_SECONDS
        try:
            process = self._idle.get(timeout=seconds)
        except queue.Empty:
            raise ResourceExhausted("all decoders are at work; try again later", retry_after=1.0) from None
        try:
            for attempt in range(_ATTEMPTS):
                try:
                    told, answered = process.call(header, parts, seconds)
                    break
                except DecoderDied as death:
                    if attempt < _ATTEMPTS - 1:
                        continue
                    if death.starting:
                        raise Unavailable(
                            "a decoder ends while it starts; see the log", reason="DECODER_FAILED", retry_after=1.0
                        ) from None
                    raise _failed("it ends the process that decodes it", field) from None
                except TimeoutError:
                    raise DeadlineExceeded(
                        f"{field}: decoding took longer than {self._limits.decode_seconds:g} s; send fewer or smaller "
                        "frames, or raise ACTIONLENS_LIMITS__DECODE_SECONDS",
                        field=field,
                        reason="DECODE_TOO_SLOW",
                    ) from None
        finally:
            self._idle.put(process)
        if "failed" in told:
            raise _failed(str(told["failed"]), field)
        with _believing(field):
            if "error" in told:
                raise _error(**told["error"])
            return told, np.frombuffer(answered[0], np.uint8).reshape([int(side) for side in told["shape"]]).copy()


@contextmanager
def _believing(field: str) -> Iterator[None]:
    """What a decoder tells that makes no sense is its fault, and not the service's."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise _failed("its decoder told nonsense", field) from error


def _check_shape(pixels: NDArray[np.uint8], *expected: int) -> None:
    if pixels.shape != (*expected, 3):
        raise ValueError(pixels.shape)


def _error(code: str, message: str, field: str, reason: str) -> ActionLensError:
    for kind in _ERRORS:
        if kind.code.name == code:
            return kind(str(message), field=str(field), reason=str(reason))
    raise ValueError(code)


def _failed(why: str, field: str) -> InvalidArgument:
    return InvalidArgument(
        f"{field}: cannot be decoded ({why}); record or convert it again", field=field, reason="DECODER_FAILED"
    )
