"""EXIF orientation of JPEG and PNG files, at every door through which encoded images come. The oracle is Pillow."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from actionlens.v1 import clip_pb2, model_pb2
from service.client.stream_messages import Frame, frame_encoder
from service.concurrency.thread_pool import Pool
from service.decoding.clip import decode_clip
from service.decoding.display import decode_for_display, display_frames
from service.decoding.exif import jpeg_orientation, png_orientation
from service.decoding.image import decode_image, image_size
from service.decoding.process.decoder import InProcessDecoder
from service.settings import Limits, Settings
from service.streaming.frame_decoder import EncodedFrame, FrameDecoder
from tests.waiting import cheap

LIMITS = Limits()
TAKES = model_pb2.ModelInput(frames=2, height=64, width=64, resize="letterbox", sampling="uniform")
ORIENTATIONS = range(1, 9)


def stored(orientation: int, kind: str = "JPEG") -> bytes:
    """48 x 32 stored pixels of which no turn or mirroring leaves the image as it is."""
    blocks = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    image = np.kron(np.stack((blocks, blocks[::-1], blocks[:, ::-1]), -1), np.ones((8, 8, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    return file.getvalue()


def shown(encoded: bytes) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB"))


def close(image: np.ndarray, expected: np.ndarray) -> bool:
    # Two JPEG decoders may round differently.
    return image.shape == expected.shape and int(np.abs(image.astype(int) - expected).max()) <= 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_image_is_shown_as_its_orientation_says(kind: str, orientation: int) -> None:
    encoded = stored(orientation, kind)
    expected = shown(encoded)
    assert close(decode_image(encoded, LIMITS, "f"), expected)
    assert image_size(encoded, LIMITS, "f") == expected.shape[1::-1]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_clips_and_what_is_drawn_over_are_upright(orientation: int) -> None:
    encoded = stored(orientation)
    expected = shown(encoded)
    height, width = expected.shape[:2]
    message = clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=[encoded] * 2))
    clip = decode_clip(message, clip_pb2.Sampling(), TAKES, LIMITS)
    assert (clip.source_width, clip.source_height) == (width, height)
    placed = clip.placement
    assert (placed.width, placed.height) == (64 * width // max(width, height), 64 * height // max(width, height))
    longer = max(width, height)
    for drawn in (display_frames(message, [1], longer), decode_for_display([encoded], [0], longer)):
        assert close(drawn[0], expected)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
async def test_frames_of_a_stream_are_upright(orientation: int) -> None:
    """A client's encoder hands JPEG files on as they are, and the service turns them."""
    encoded = stored(orientation)
    height, width = shown(encoded).shape[:2]
    takes = model_pb2.ModelInput(frames=2, height=height, width=width)
    message = frame_encoder({})(Frame(encoded, 0, 0.0)).frame
    pool, decoder = Pool(1, "decode"), InProcessDecoder(Settings(limits=LIMITS))
    try:
        request: Any = None
        frame = await FrameDecoder(pool, decoder, takes, LIMITS).decode(EncodedFrame(message, request))
    finally:
        pool.close()
    assert (frame.width, frame.height) == (width, height)
    assert close(frame.pixels, shown(encoded))


def test_images_stored_differently_and_shown_alike_are_one_clip() -> None:
    """A phone that is turned while it takes a series stores 48 x 32 and 32 x 48: what is shown has one size."""
    upright = io.BytesIO()
    Image.fromarray(shown(stored(6))).save(upright, "JPEG")
    message = clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=[stored(6), upright.getvalue()]))
    clip = decode_clip(message, clip_pb2.Sampling(), TAKES, LIMITS)
    assert np.abs(clip.frames[0].astype(int) - clip.frames[1]).mean() < 3


@pytest.mark.parametrize("orientation", [3, 6])
def test_frames_of_motion_jpeg_are_upright(orientation: int) -> None:
    file = io.BytesIO()
    encoded = stored(orientation)
    with av.open(file, "w", format="avi") as out:
        stream: Any = out.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuvj420p"
        for number in range(2):
            packet = av.Packet(encoded)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 10)
            out.mux(packet)
    clip = decode_clip(clip_pb2.Clip(video=file.getvalue()), clip_pb2.Sampling(), TAKES, LIMITS)
    assert (clip.source_width, clip.source_height) == shown(encoded).shape[1::-1]
    drawn = decode_for_display(file.getvalue(), [0], max(shown(encoded).shape[:2]))[0]
    assert np.abs(drawn.astype(int) - shown(encoded)).mean() < 6


def tiff(order: str, kind: int, value: int) -> bytes:
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
    other = struct.pack(f"{order}HHII", 0x010F, 2, 1, 0)
    packed = struct.pack(f"{order}{ {1: 'B', 3: 'H', 4: 'I', 5: 'I'}[kind] }", value).ljust(4, b"\0")
    return head + struct.pack(f"{order}H", 2) + other + struct.pack(f"{order}HHI", 0x0112, kind, 1) + packed + bytes(4)


def with_exif(block: bytes) -> bytes:
    plain = stored(1)
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block
    return plain[:2] + b"\xff\xff" + segment + plain[2:]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 3, 4])
def test_every_byte_order_and_whole_number_type_is_read(order: str, kind: int) -> None:
    assert jpeg_orientation(with_exif(tiff(order, kind, 8))) == 8


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*\0",
        tiff("<", 3, 6)[:20],
        tiff("<", 3, 0),
        tiff("<", 3, 9),
        tiff("<", 5, 6),
        b"XX" + tiff("<", 3, 6)[2:],
    ],
)
def test_damaged_exif_data_is_as_stored(block: bytes) -> None:
    encoded = with_exif(block)
    assert jpeg_orientation(encoded) == 1
    assert decode_image(encoded, LIMITS, "f").shape == (32, 48, 3)


@given(st.binary(max_size=200), st.integers(0, 200), st.sampled_from(["<", ">"]))
def test_no_bytes_are_too_odd(noise: bytes, at: int, order: str) -> None:
    encoded = with_exif(tiff(order, 3, 6))
    damaged = encoded[: 2 + at] + noise + encoded[2 + at + len(noise) // 2 :]
    assert 1 <= jpeg_orientation(damaged) <= 8
    assert png_orientation(b"\x89PNG\r\n\x1a\n" + noise + struct.pack(">I", len(noise)) + b"eXIf" + noise) == 1


def test_files_of_tiny_parts_do_not_cost_much() -> None:
    with cheap(2.0):
        assert jpeg_orientation(b"\xff\xd8" + b"\xff" * 2**24) == 1
        assert jpeg_orientation(b"\xff\xd8" + b"\xff\xe0\0\2" * 2**22) == 1
        assert png_orientation(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0tEXt\0\0\0\0" * 2**20) == 1


def test_a_portrait_folder_of_the_assets(assets: Any) -> None:
    """24 JPEGs of a square that moves right, stored lying: shown, its centre moves along x and not along y."""
    import tarfile

    archive_path = assets / "faults" / "exif6_move_right.tgz"
    if not archive_path.is_file():
        pytest.skip(f"{archive_path} is not there")
    with tarfile.open(archive_path) as archive:
        names = sorted(name for name in archive.getnames() if name.endswith(".jpg"))
        images = [archive.extractfile(name).read() for name in names]  # type: ignore[union-attr]
    clip = clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=images))
    frames = display_frames(clip, range(len(images)), 160).astype(float).mean(-1)
    moved = np.abs(np.diff(frames, axis=0)).mean(0) > 1
    # What changes is a band along x: many columns, few rows.
    assert moved.any(0).sum() > 1.5 * moved.any(1).sum()
