"""Test media made on the spot: every frame carries its own number as a pattern that survives compression."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from actionlens.v1 import model_pb2
from service.settings import Limits

Image = NDArray[np.uint8]
_BITS = 10


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
def model_input() -> model_pb2.ModelInput:
    return model_pb2.ModelInput(frames=8, height=48, width=80, resize="stretch", sampling="uniform", stride=2)


@pytest.fixture(scope="session")
def numbered() -> Callable[..., list[Image]]:
    """numbered(count, width=80, height=48): images whose number is written in two rows of five squares."""

    def make(count: int, width: int = 80, height: int = 48) -> list[Image]:
        return [_draw(number, width, height) for number in range(count)]

    return make


@pytest.fixture(scope="session")
def number_of() -> Callable[[Image], int]:
    """The number in an image made by `numbered`, whatever its size."""
    return _read


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """encode(images, container="mp4", codec="libx264", ...) -> the bytes of a video file."""
    return _encode


def _draw(number: int, width: int, height: int) -> Image:
    image = np.full((height, width, 3), 40, np.uint8)
    for bit in range(_BITS):
        row, column = divmod(bit, 5)
        if number >> bit & 1:
            top, left = row * height // 2, column * width // 5
            image[top : top + height // 2, left : left + width // 5] = 220
    return image


def _read(image: Image) -> int:
    height, width = image.shape[:2]
    centres = [image[(2 * (bit // 5) + 1) * height // 4, (2 * (bit % 5) + 1) * width // 10, 1] for bit in range(_BITS)]
    return sum(1 << bit for bit, level in enumerate(centres) if level > 128)


def _encode(
    images: Sequence[Image],
    container: str = "mp4",
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: int = 25,
    times: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    source: str = "rgb24",
    movflags: str = "",
) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, container_options={"movflags": movflags} if movflags else {}) as out:
        stream: Any = out.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for position, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=source)
            if times is not None:
                frame.pts, frame.time_base = times[position], Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def png() -> Callable[[NDArray[Any]], bytes]:
    """A PNG of an array in OpenCV's channel order (BGR, BGRA, grey; uint8 or uint16)."""
    return lambda array: cv2.imencode(".png", array)[1].tobytes()
