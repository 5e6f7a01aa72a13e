"""What cannot be a clip is refused, quickly, by name; nothing else happens."""

from __future__ import annotations

import io
import resource
import struct

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionlens.v1 import clip_pb2, model_pb2
from service.decoding.clip import decode_clip
from service.errors import ActionLensError, DeadlineExceeded, InvalidArgument
from service.settings import Limits
from tests.waiting import cheap

TAKES = model_pb2.ModelInput(frames=4, height=24, width=40, resize="letterbox", sampling="uniform", stride=1)
SECONDS = 2.0


def decode(clip, limits=None, sampling=None):
    return decode_clip(clip, sampling or clip_pb2.Sampling(), TAKES, limits or Limits())


def refused(clip, limits=None, sampling=None):
    with cheap(SECONDS), pytest.raises(InvalidArgument) as caught:
        decode(clip, limits, sampling)
    error = caught.value
    assert error.field
    assert error.message.startswith(error.field)
    return error.field, error.reason


def video(data):
    return clip_pb2.Clip(video=data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "VIDEO_EMPTY"),
        (b"To be, or not to be, that is the question. " * 100, "VIDEO_UNRECOGNISED"),
        (b"\x00" * 10_000, "VIDEO_UNRECOGNISED"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "VIDEO_UNRECOGNISED"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2", "VIDEO_UNRECOGNISED"),
        (b"#EXTM3U\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n", "VIDEO_UNRECOGNISED"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "VIDEO_UNRECOGNISED"),
    ],
)
def test_what_is_no_video(data, reason):
    assert refused(video(data)) == ("clip.video", reason)


def test_no_source_at_all():
    assert refused(clip_pb2.Clip()) == ("clip", "CLIP_EMPTY")


def test_only_sound(encode):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=16000, layout="mono")
        for _ in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate = 16000
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert refused(video(buffer.getvalue())) == ("clip.video", "NO_VIDEO_STREAM")


def test_ten_minutes(encode, numbered):
    assert refused(video(encode(numbered(600), rate=1))) == ("clip.video", "CLIP_TOO_LONG")


@pytest.mark.parametrize("container", ["mp4", "mpegts", "matroska"])
def test_eight_k_is_refused_from_the_header(container, encode):
    data = encode([np.zeros((4320, 7680, 3), np.uint8)], container, options={"preset": "ultrafast"})
    assert refused(video(data)) == ("clip.video", "PICTURE_TOO_LARGE")


def test_an_index_that_promises_millions_of_frames_takes_no_memory(encode, numbered):
    """2 KB whose sample table claims 16 million equal samples: a demuxer would make room for all (1.2 GB)."""
    data = bytearray(encode(numbered(20)))
    sizes, chunks, times = data.find(b"stsz"), data.find(b"stsc"), data.find(b"stts")
    data[sizes + 8 : sizes + 16] = struct.pack(">II", 1, 1 << 24)
    data[chunks + 16 : chunks + 20] = struct.pack(">I", 1 << 24)
    data[times + 12 : times + 16] = struct.pack(">I", 1 << 24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(video(bytes(data))) == ("clip.video", "VIDEO_BROKEN")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_uncompressed_sound_beside_the_images_is_no_bomb(encode, numbered, number_of):
    """PCM sound has a table of equal sizes with one entry per sample: 30 s at 48 kHz are 1.4 million."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mov") as out:
        images = out.add_stream("libx264", rate=25)
        images.width, images.height, images.pix_fmt = 80, 48, "yuv420p"
        sound = out.add_stream("pcm_s16le", rate=48000, layout="mono")
        for image in numbered(20):
            out.mux(images.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(images.encode(None))
        for position in range(30):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.int16), format="s16", layout="mono")
            frame.rate, frame.pts = 48000, position * 48000
            out.mux(sound.encode(frame))
    clip = decode_clip(
        video(buffer.getvalue()), clip_pb2.Sampling(), model_pb2.ModelInput(frames=2, height=48, width=80), Limits()
    )
    assert [number_of(frame) for frame in clip.frames] == [0, 19]


def test_motion_jpeg_with_thousands_of_scans_costs_no_time(encode, numbered):
    """One frame is swapped for a progressive JPEG whose last scan is repeated: it is passed over."""
    first, second = numbered(2, 640, 480)
    data = encode([first, second], "avi", "mjpeg", "yuvj420p")
    progressive = cv2.imencode(".jpg", second, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = progressive.rfind(b"\xff\xda")
    bomb = progressive[:last] + progressive[last:-2] * 3000 + b"\xff\xd9"
    bomb += bytes(len(bomb) % 2)
    # The file is written anew by hand: every image of the stream becomes the bomb.
    at = data.find(b"00dc")
    size = int.from_bytes(data[at + 4 : at + 8], "little")
    forged = data[:at] + b"00dc" + len(bomb).to_bytes(4, "little") + bomb + data[at + 8 + size + size % 2 :]
    with cheap(SECONDS), pytest.raises(InvalidArgument) as caught:
        decode(video(forged[: at + 8 + len(bomb)]))
    assert caught.value.reason == "NO_FRAMES"


def test_a_colour_description_that_nobody_knows_is_not_the_end(encode, numbered, number_of):
    data = bytearray(encode(numbered(6), "mov", "prores_ks", "yuv422p10le"))
    # The frame header's matrix coefficients, 15 bytes after its "icpf" mark.
    at = data.find(b"icpf")
    while at >= 0:
        data[at + 4 + 16] = 14
        at = data.find(b"icpf", at + 4)
    clip = decode_clip(
        video(bytes(data)), clip_pb2.Sampling(), model_pb2.ModelInput(frames=2, height=48, width=80), Limits()
    )
    assert [number_of(frame) for frame in clip.frames] == [0, 5]


def test_a_deadline_that_passes_is_said(encode, numbered):
    with pytest.raises(DeadlineExceeded) as caught:
        decode(video(encode(numbered(50))), Limits(decode_seconds=1e-6))
    assert (caught.value.field, caught.value.reason) == ("clip.video", "DECODE_TOO_SLOW")


def test_no_other_file_is_opened(encode, numbered, monkeypatch):
    """A QuickTime reference movie names its media by path; the path must not be followed."""
    data = bytearray(encode(numbered(10), "mov"))
    at = data.find(b"url ")
    # The data reference said "in this file" (flag 1); now it names another one.
    data[at + 4 : at + 8] = bytes(4)
    opened = []
    monkeypatch.setattr("service.decoding.demuxer._refuse", lambda url, *_: opened.append(url))
    survives(bytes(data))
    assert opened == []


MANY = [
    ("mp4", "libx264", "yuv420p"),
    ("matroska", "libvpx", "yuv420p"),
    ("avi", "mpeg4", "yuv420p"),
    ("gif", "gif", "rgb8"),
    ("mpegts", "mpeg2video", "yuv420p"),
    ("flv", "flv", "yuv420p"),
    ("asf", "wmv2", "yuv420p"),
    ("avi", "mjpeg", "yuvj420p"),
]


def survives(data):
    """An answer or a domain error that names the field, within a bounded time."""
    with cheap(SECONDS):
        try:
            clip = decode(video(data))
        except ActionLensError as error:
            assert error.field == "clip.video"  # noqa: PT017 - either outcome is right
        else:
            assert clip.frames.shape == (4, 24, 40, 3)
            assert len(clip.indices) == 4


@pytest.mark.parametrize(("container", "codec", "pixels"), MANY)
def test_every_cut_of_a_file_is_an_answer_or_an_error(container, codec, pixels, encode, numbered):
    data = encode(numbered(12), container, codec, pixels)
    for end in range(0, len(data), max(1, len(data) // 60)):
        survives(data[:end])


@pytest.mark.parametrize(("container", "codec", "pixels"), MANY)
def test_damaged_files_are_an_answer_or_an_error(container, codec, pixels, encode, numbered):
    data = encode(numbered(12), container, codec, pixels)
    random = np.random.default_rng(1)
    for _ in range(60):
        damaged = np.frombuffer(data, np.uint8).copy()
        # Half of the flips in the first 200 bytes, where the structure is.
        positions = np.concatenate((random.integers(0, min(200, len(data)), 3), random.integers(0, len(data), 3)))
        damaged[positions] ^= random.integers(1, 256, 6).astype(np.uint8)
        survives(damaged.tobytes())


STARTS = [
    b"",
    b"\x00\x00\x00\x20ftypisom",
    b"\x1a\x45\xdf\xa3",
    b"RIFF\x00\x10\x00\x00AVI ",
    b"GIF89a",
    b"FLV\x01\x05",
    b"OggS",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    b"\x00\x00\x01\xba",
    b"G" + bytes(187) + b"G",
]


@settings(max_examples=150)
@given(st.sampled_from(STARTS), st.binary(max_size=2000))
def test_random_bytes_are_an_error(start, rest):
    survives(start + rest)
