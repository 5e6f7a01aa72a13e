"""Videos whose pixels are not square are shown in the shape that a player gives them, at every door."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from actionlens.v1 import clip_pb2, model_pb2
from service.client.frame_sources import open_source
from service.decoding.clip import decode_clip
from service.decoding.display import decode_for_display, display_frames
from service.decoding.pixel_aspect import square_pixels
from service.settings import Limits

TAKES = model_pb2.ModelInput(frames=2, height=96, width=96, resize="letterbox", sampling="uniform")


def disc(width: int, height: int, aspect: Fraction) -> np.ndarray:
    """A disc that is round once the pixels are square: stored, it is an ellipse."""
    image = np.full((height, width, 3), 20, np.uint8)
    radius = min(float(width * aspect), float(height)) * 0.4
    axes = (round(radius / float(aspect)), round(radius))
    return np.asarray(cv2.ellipse(image, (width // 2, height // 2), axes, 0, 0, 360, (230, 230, 230), -1), np.uint8)


def film(
    width: int, height: int, aspect: Fraction, container: str, codec: str = "libx264", stated: Fraction | None = None
) -> bytes:
    """Four frames of the disc. stated: what the stream says of its pixels, when not the truth."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect if stated is None else stated
        for _ in range(4):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(disc(width, height, aspect), format="rgb24")))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def extent(image: np.ndarray) -> tuple[int, int]:
    bright = image[..., 1] > 128
    return int(bright.any(0).sum()), int(bright.any(1).sum())


def check(data: bytes, size: tuple[int, int], folder: Path) -> None:
    """Every door gives a round disc in an image of this size."""
    message = clip_pb2.Clip(video=data)
    clip = decode_clip(message, clip_pb2.Sampling(), TAKES, Limits())
    assert (clip.source_width, clip.source_height) == size
    longer = max(size)
    assert (clip.placement.width, clip.placement.height) == (96 * size[0] // longer, 96 * size[1] // longer)
    path = folder / "film"
    path.write_bytes(data)
    played = [np.asarray(frame.picture) for frame in open_source(str(path)).frames]
    assert [image.shape[1::-1] for image in played] == [size] * 4
    for image in (clip.frames[0], display_frames(message, [0])[0], decode_for_display(data, [3])[0], played[0]):
        across, down = extent(image)
        assert across == pytest.approx(down, rel=0.05, abs=2)


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts", "avi"])
@pytest.mark.parametrize(
    ("stored", "aspect", "shown"),
    [
        ((80, 120), Fraction(2), (160, 120)),
        ((160, 120), Fraction(1, 2), (160, 240)),
        ((176, 144), Fraction(12, 11), (192, 144)),
        ((180, 144), Fraction(16, 11), (262, 144)),
    ],
)
def test_pixels_are_made_square(
    container: str, stored: tuple[int, int], aspect: Fraction, shown: tuple[int, int], tmp_path: Path
) -> None:
    check(film(*stored, aspect, container, "mpeg4" if container == "avi" else "libx264"), shown, tmp_path)


def test_the_container_is_believed_before_the_codec(tmp_path: Path) -> None:
    data = bytearray(film(80, 120, Fraction(2), "mp4", stated=Fraction(3)))
    at = data.find(b"pasp") + 4
    assert struct.unpack_from(">II", data, at) == (3, 1)
    struct.pack_into(">II", data, at, 2, 1)
    check(bytes(data), (160, 120), tmp_path)


def test_a_rotated_video_is_made_square_before_it_is_turned(tmp_path: Path) -> None:
    data = bytearray(film(80, 120, Fraction(2), "mp4"))
    at = data.find(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    check(bytes(data), (120, 160), tmp_path)


@pytest.mark.parametrize("aspect", [Fraction(10**6), Fraction(1, 10**6)])
def test_an_absurd_shape_takes_no_more_memory_than_a_large_image(aspect: Fraction) -> None:
    image = square_pixels(np.zeros((200, 300, 3), np.uint8), aspect)
    assert image.size <= 4.1 * 200 * 300 * 3
    assert min(image.shape[:2]) >= 1
