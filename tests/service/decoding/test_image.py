from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from actionlens.v1 import clip_pb2, model_pb2
from service.decoding.clip import decode_clip
from service.decoding.image import decode_image, image_size, raw_image
from service.errors import InvalidArgument
from service.settings import Limits
from tests.waiting import cheap

LIMITS = Limits()
TAKES = model_pb2.ModelInput(frames=4, height=48, width=80, sampling="uniform")


def jpeg(image, **options):
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=95, **options)


def refused(call, *arguments):
    with cheap(1.0), pytest.raises(InvalidArgument) as caught:
        call(*arguments)
    assert caught.value.message.startswith(caught.value.field)
    return caught.value.field, caught.value.reason


def test_jpeg_is_rgb():
    image = np.zeros((16, 24, 3), np.uint8)
    image[..., 0] = 250
    assert np.abs(decode_image(jpeg(image), LIMITS, "f").astype(int) - [250, 0, 0]).max() <= 3


def test_grey_jpeg_is_repeated():
    grey = np.full((16, 24, 1), 77, np.uint8)
    assert (np.abs(decode_image(jpeg(grey, colorspace="GRAY"), LIMITS, "f").astype(int) - 77) <= 1).all()


BGR = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (BGR, BGR[..., ::-1]),
        (BGR[..., 0], np.repeat(BGR[..., :1], 3, -1)),
        (BGR.astype(np.uint16) * 257, BGR[..., ::-1]),
        (np.dstack([BGR, np.full(BGR.shape[:2], 255, np.uint8)]), BGR[..., ::-1]),
        (np.dstack([BGR, np.zeros(BGR.shape[:2], np.uint8)]), np.zeros_like(BGR)),
        (np.dstack([BGR, np.full(BGR.shape[:2], 51, np.uint8)]), np.rint(BGR[..., ::-1] * 0.2)),
    ],
    ids=["colour", "grey", "16 bit", "opaque", "invisible", "a fifth"],
)
def test_png_of_every_kind(stored, expected, png):
    image = decode_image(png(stored), LIMITS, "f")
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - expected).max() <= (0 if stored.ndim < 3 or stored.shape[2] == 3 else 1)


def palette_png(width, height):
    """A one-bit palette PNG written by hand."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = (b"\x00" + b"\x55" * ((width + 7) // 8)) * height
    header = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"PLTE", bytes([10, 20, 30, 200, 100, 50]))
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def test_palette_png():
    image = decode_image(palette_png(8, 2), LIMITS, "f")
    assert image[0, :2].tolist() == [[10, 20, 30], [200, 100, 50]]


def test_bombs_are_refused_from_their_headers():
    """A PNG of 64 million pixels in 17 KB, and a JPEG whose header says 65500 x 65500."""
    bomb = palette_png(8000, 8000)
    assert len(bomb) < 20_000
    assert refused(decode_image, bomb, LIMITS, "clip.frames.images[3]") == (
        "clip.frames.images[3]",
        "PICTURE_TOO_LARGE",
    )
    data = bytearray(jpeg(np.zeros((16, 16, 3), np.uint8)))
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    assert refused(decode_image, bytes(data), LIMITS, "f") == ("f", "PICTURE_TOO_LARGE")


def test_a_jpeg_with_thousands_of_scans_is_refused():
    data = bytearray(cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1])
    last = bytes(data).rfind(b"\xff\xda")
    scan, rest = bytes(data[last:-2]), b"\xff\xd9"
    assert decode_image(bytes(data), LIMITS, "f").shape == (64, 64, 3)
    assert refused(decode_image, bytes(data[:last]) + scan * 5000 + rest, LIMITS, "f") == ("f", "PICTURE_BROKEN")


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_every_cut_of_an_image_is_refused(kind, png):
    image = np.random.default_rng(2).integers(0, 256, (40, 50, 3), np.uint8)
    data = jpeg(image) if kind == "jpeg" else png(image)
    for end in range(0, len(data) - 16, max(1, len(data) // 100)):
        _, reason = refused(decode_image, data[:end], LIMITS, "f")
        assert reason in {"PICTURE_EMPTY", "PICTURE_UNRECOGNISED", "PICTURE_BROKEN"}


@given(st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"]), st.binary(max_size=300))
def test_random_bytes_are_refused(start, rest):
    with pytest.raises(InvalidArgument):
        decode_image(start + rest, LIMITS, "f")


def test_damaged_images_are_an_image_or_an_error(png):
    image = np.random.default_rng(3).integers(0, 256, (40, 50, 3), np.uint8)
    random = np.random.default_rng(4)
    for data in (jpeg(image), png(image)):
        for _ in range(200):
            damaged = np.frombuffer(data, np.uint8).copy()
            damaged[random.integers(0, len(data), 4)] ^= random.integers(1, 256, 4).astype(np.uint8)
            try:
                decoded = decode_image(damaged.tobytes(), LIMITS, "f")
            except InvalidArgument:
                continue
            assert decoded.dtype == np.uint8
            assert decoded.shape[2] == 3


def test_padding_between_markers_is_no_damage():
    data = jpeg(np.full((16, 16, 3), 90, np.uint8))
    padded = data[:-2] + b"\x00\x00\x00" + data[-2:]
    assert decode_image(padded, LIMITS, "f").shape == (16, 16, 3)


def test_other_formats_are_refused_by_name():
    gif = b"GIF89a" + bytes(40)
    webp = cv2.imencode(".webp", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    for data in (gif, webp, b"%PDF-1.4"):
        assert refused(image_size, data, LIMITS, "f") == ("f", "PICTURE_UNRECOGNISED")


def test_raw_pixels_are_viewed_not_copied():
    data = bytes(range(24))
    image = raw_image(data, 2, 4, LIMITS, "f")
    assert image.shape == (2, 4, 3)
    assert image[1, 0].tolist() == [12, 13, 14]
    assert refused(raw_image, data, 2, 3, LIMITS, "f") == ("f", "RAW_SIZE_MISMATCH")
    assert refused(raw_image, b"", 0, 3, LIMITS, "f") == ("f", "PICTURE_EMPTY")
    assert refused(raw_image, b"", 2**31, 2**31, LIMITS, "f") == ("f", "PICTURE_TOO_LARGE")


def frames(images, fps=0.0):
    return clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=images, fps=fps))


def decode(clip, sampling=None, limits=LIMITS):
    return decode_clip(clip, sampling or clip_pb2.Sampling(), TAKES, limits)


def test_images_make_a_clip(numbered, number_of, png):
    clip = decode(frames([png(image) for image in numbered(10)], fps=5))
    assert clip.indices == (0, 3, 6, 9)
    assert [number_of(frame) for frame in clip.frames] == [0, 3, 6, 9]
    assert clip.timestamps == pytest.approx((0, 0.6, 1.2, 1.8))
    assert (clip.fps, clip.effective_fps) == (5, pytest.approx(5 / 3))
    assert decode(frames([png(numbered(1)[0])])).timestamps == ()


@pytest.mark.parametrize(
    ("clip", "field", "reason"),
    [
        (lambda image, other: frames([]), "clip.frames.images", "NO_FRAMES"),
        (lambda image, other: frames([image, image, b""]), "clip.frames.images[2]", "PICTURE_EMPTY"),
        (lambda image, other: frames([image, b"text"]), "clip.frames.images[1]", "PICTURE_UNRECOGNISED"),
        (lambda image, other: frames([image, image[:-40]]), "clip.frames.images[1]", "PICTURE_BROKEN"),
        (lambda image, other: frames([image] * 21), "clip.frames.images", "TOO_MANY_FRAMES"),
        (lambda image, other: frames([image], float("nan")), "clip.frames.fps", "FRAME_RATE_INVALID"),
        (lambda image, other: frames([image], -1), "clip.frames.fps", "FRAME_RATE_INVALID"),
        (lambda image, other: frames([image] * 20, 0.01), "clip.frames.fps", "CLIP_TOO_LONG"),
    ],
)
def test_bad_images_are_named(clip, field, reason, png):
    image, other = png(BGR), png(BGR[:-1])
    limits = LIMITS.model_copy(update={"frames": 20})
    assert refused(decode, clip(image, other), None, limits) == (field, reason)


def test_images_of_another_size_are_brought_to_the_first_and_told():
    left = np.zeros((48, 80, 3), np.uint8)
    left[:, :40] = 200
    tall = np.full((96, 80, 3), 200, np.uint8)
    encoded = [cv2.imencode(".png", image)[1].tobytes() for image in (left, left.repeat(2, 0).repeat(2, 1), tall, left)]
    clip = decode(frames(encoded))
    assert (clip.source_width, clip.source_height) == (80, 48)
    assert np.abs(clip.frames[1].astype(int) - left).max() <= 3
    # Of another shape: it keeps its own, on black.
    assert (clip.frames[2][:, 20:60] == 200).all()
    assert not clip.frames[2][:, [*range(20), *range(60, 80)]].any()
    assert clip.notes == (
        "2 of 4 frames are of another size (160 x 96 pixels) than the first (80 x 48), and are brought to it",
    )


def raw(data, count, height, width, pixel_format=clip_pb2.PIXEL_FORMAT_UNSPECIFIED, fps=0.0):
    return clip_pb2.Clip(
        raw=clip_pb2.RawFrames(data=data, count=count, height=height, width=width, format=pixel_format, fps=fps)
    )


@pytest.mark.parametrize(
    ("pixel_format", "pixel", "seen"),
    [
        (clip_pb2.PIXEL_FORMAT_UNSPECIFIED, [1, 2, 3], [1, 2, 3]),
        (clip_pb2.PIXEL_FORMAT_RGB, [1, 2, 3], [1, 2, 3]),
        (clip_pb2.PIXEL_FORMAT_BGR, [1, 2, 3], [3, 2, 1]),
        (clip_pb2.PIXEL_FORMAT_GRAY, [9], [9, 9, 9]),
    ],
)
def test_raw_channel_orders(pixel_format, pixel, seen):
    clip = decode(raw(bytes(pixel * (2 * 6 * 5)), 2, 6, 5, pixel_format, fps=10))
    assert (clip.frames == seen).all()
    assert clip.indices == (0, 0, 1, 1)
    assert (clip.source_width, clip.source_height) == (5, 6)


@pytest.mark.parametrize(
    ("clip", "field", "reason"),
    [
        (raw(bytes(89), 1, 6, 5), "clip.raw.data", "RAW_SIZE_MISMATCH"),
        (raw(bytes(90), 1, 6, 5, clip_pb2.PIXEL_FORMAT_GRAY), "clip.raw.data", "RAW_SIZE_MISMATCH"),
        (raw(b"", 0, 6, 5), "clip.raw.count", "NO_FRAMES"),
        (raw(b"", 1, 0, 5), "clip.raw", "PICTURE_EMPTY"),
        (raw(b"", 2**32 - 1, 2**32 - 1, 2**32 - 1), "clip.raw.count", "TOO_MANY_FRAMES"),
        (raw(b"", 1, 2**32 - 1, 2**32 - 1), "clip.raw", "PICTURE_TOO_LARGE"),
        (raw(bytes(90), 1, 6, 5, 77), "clip.raw.format", "PIXEL_FORMAT_UNKNOWN"),
        (raw(bytes(90), 1, 6, 5, fps=float("inf")), "clip.raw.fps", "FRAME_RATE_INVALID"),
    ],
)
def test_bad_pixels_are_named(clip, field, reason):
    assert refused(decode, clip) == (field, reason)
