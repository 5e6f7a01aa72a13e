"""Video files: the right frames, at the right times, whatever the container."""

from __future__ import annotations

import struct

import av
import numpy as np
import pytest

from actionlens.v1 import clip_pb2, model_pb2
from service.decoding.clip import decode_clip
from service.errors import InvalidArgument

UNIFORM = clip_pb2.Sampling()
# Container, codec, pixel format, format of the images given.
FORMATS = [
    ("mp4", "libx264", "yuv420p"),
    ("mp4", "libx265", "yuv420p"),
    ("mp4", "libsvtav1", "yuv420p"),
    ("mp4", "libx264", "gray"),
    ("mov", "prores_ks", "yuv422p10le"),
    ("mov", "png", "rgba"),
    ("matroska", "libx264", "yuv444p"),
    ("matroska", "libvpx", "yuv420p"),
    ("webm", "libvpx-vp9", "yuv420p"),
    ("avi", "mpeg4", "yuv420p"),
    ("avi", "mjpeg", "yuvj444p"),
    ("avi", "rawvideo", "bgr24"),
    ("gif", "gif", "rgb8"),
    ("mpegts", "libx264", "yuv420p"),
    ("mpeg", "mpeg2video", "yuv420p"),
    ("mpeg", "mpeg1video", "yuv420p"),
    ("flv", "flv", "yuv420p"),
    ("asf", "wmv2", "yuv420p"),
]
QUIET = {"libx265": {"x265-params": "log-level=none"}, "libsvtav1": {"svtav1-params": "crf=20"}}


def decode(data, model_input, limits, sampling=UNIFORM):
    return decode_clip(clip_pb2.Clip(video=data), sampling, model_input, limits)


@pytest.mark.parametrize(("container", "codec", "pixels"), FORMATS)
def test_uniform_frames_of_every_container(container, codec, pixels, encode, numbered, number_of, model_input, limits):
    data = encode(numbered(31), container, codec, pixels, options=QUIET.get(codec))
    clip = decode(data, model_input, limits)
    expected = np.linspace(0, 30, 8).round().astype(int).tolist()
    assert list(clip.indices) == expected
    assert [number_of(frame) for frame in clip.frames] == expected
    assert clip.frames.shape == (8, 48, 80, 3)
    assert (clip.source_width, clip.source_height) == (80, 48)
    assert clip.fps == pytest.approx(25, rel=0.01)
    assert np.allclose(clip.timestamps, np.array(expected) / 25, atol=0.006)


def test_given_frames_come_in_the_order_asked(encode, numbered, number_of, model_input, limits):
    data = encode(numbered(40))
    asked = [39, 0, 7, 7, 30, 2, 38, 11]
    clip = decode(data, model_input, limits, clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=asked)))
    assert [number_of(frame) for frame in clip.frames] == asked
    assert clip.effective_fps == 0


def test_dense_frames_begin_where_asked_and_repeat_the_last(encode, numbered, number_of, model_input, limits):
    dense = clip_pb2.Sampling(dense=clip_pb2.DenseSampling(stride=4, start=10))
    clip = decode(encode(numbered(30)), model_input, limits, dense)
    assert [number_of(frame) for frame in clip.frames] == [10, 14, 18, 22, 26, 29, 29, 29]


@pytest.mark.parametrize("options", [{"g": "12", "bf": "3"}, {"g": "12", "bf": "3", "x264-params": "open-gop=1"}])
def test_leaving_parts_out_changes_nothing(options, encode, numbered, number_of, limits):
    """Three frames of 300 are decoded from their keyframes on; a decoder that reads everything agrees exactly."""
    data = encode(numbered(300), options=options)
    takes = model_pb2.ModelInput(frames=3, height=48, width=80)
    asked = clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[37, 163, 290]))
    clip = decode(data, takes, limits, asked)
    with av.open(__import__("io").BytesIO(data)) as whole:
        every = [frame.to_ndarray(format="rgb24") for frame in whole.decode(video=0)]
    assert len(every) == 300
    np.testing.assert_array_equal(clip.frames, np.stack([every[37], every[163], every[290]]))


def test_leaving_parts_out_decodes_less(encode, numbered, limits, monkeypatch):
    from service.decoding import packet_decoder

    decoded = []
    real = packet_decoder._decode

    def counted(*arguments):
        for frame in real(*arguments):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(packet_decoder, "_decode", counted)
    data = encode(numbered(300), options={"g": "12"})
    decode(data, model_pb2.ModelInput(frames=3, height=48, width=80), limits)
    assert len(decoded) <= 3 * 12


def test_variable_frame_rate_keeps_true_times(encode, numbered, number_of, model_input, limits):
    times = np.cumsum([0, *([20, 180] * 15)]).tolist()
    clip = decode(encode(numbered(31), times=times), model_input, limits)
    indices = np.linspace(0, 30, 8).round().astype(int)
    assert [number_of(frame) for frame in clip.frames] == indices.tolist()
    assert np.allclose(clip.timestamps, np.array(times)[indices] / 1000, atol=0.002)
    assert clip.fps == pytest.approx(10)
    assert clip.effective_fps == pytest.approx(7 / 3.0, rel=0.01)


def test_one_frame_is_repeated(encode, numbered, model_input, limits):
    clip = decode(encode(numbered(1)), model_input, limits)
    assert clip.indices == (0,) * 8
    assert (clip.frames == clip.frames[0]).all()
    assert clip.effective_fps == 0


def test_odd_sizes(encode, numbered, number_of, model_input, limits):
    data = encode(numbered(10, 79, 45), "matroska", "libx264", "yuv444p")
    clip = decode(data, model_input, limits)
    assert (clip.source_width, clip.source_height) == (79, 45)
    assert number_of(clip.frames[-1]) == 9


QUARTER = 1 << 16
# A 2 x 2 image [[1, 2], [3, 4]] under each display matrix (a, b, c, d).
TURNS = [
    ((QUARTER, 0, 0, QUARTER), [[1, 2], [3, 4]]),
    ((0, QUARTER, -QUARTER, 0), [[3, 1], [4, 2]]),
    ((-QUARTER, 0, 0, -QUARTER), [[4, 3], [2, 1]]),
    ((0, -QUARTER, QUARTER, 0), [[2, 4], [1, 3]]),
    ((-QUARTER, 0, 0, QUARTER), [[2, 1], [4, 3]]),
    ((0, QUARTER, QUARTER, 0), [[1, 3], [2, 4]]),
]


@pytest.mark.parametrize(("matrix", "expected"), TURNS)
def test_rotation_and_mirroring_are_applied(matrix, expected, encode, limits):
    levels = np.kron(np.array([[1, 2], [3, 4]]), np.ones((24, 40))) * 50
    image = np.repeat(levels[..., None], 3, -1).astype(np.uint8)
    data = bytearray(encode([image] * 4))
    a, b, c, d = matrix
    at = data.find(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    takes = model_pb2.ModelInput(frames=1, height=100, width=100, resize="stretch")
    clip = decode(bytes(data), takes, limits)
    seen = clip.frames[0][[25, 25, 75, 75], [25, 75, 25, 75], 0].reshape(2, 2)
    assert np.rint(seen / 50).astype(int).tolist() == expected
    assert (clip.source_width, clip.source_height) == ((80, 48) if b == 0 else (48, 80))


def test_alpha_is_laid_over_black(encode, limits):
    image = np.full((48, 80, 4), 200, np.uint8)
    image[:, :40, 3] = 0
    image[:, 40:, 3] = 128
    data = encode([image] * 2, "mov", "png", "rgba", source="rgba")
    frame = decode(data, model_pb2.ModelInput(frames=1, height=48, width=80), limits).frames[0]
    assert (frame[:, :40] == 0).all()
    assert (frame[:, 40:] == 100).all()


def test_colours_are_those_of_the_file(encode, limits):
    """Pure red, green and blue under both colour matrices that files name."""
    for colour in np.eye(3, dtype=np.uint8) * 255:
        image = np.broadcast_to(colour, (48, 80, 3))
        frame = decode(encode([image] * 2), model_pb2.ModelInput(frames=1, height=48, width=80), limits).frames[0]
        assert np.abs(frame[24, 40].astype(int) - colour).max() <= 4


@pytest.mark.parametrize(
    ("container", "codec", "movflags"),
    [
        ("mp4", "libx264", "frag_keyframe+empty_moov"),
        ("matroska", "libx264", ""),
        ("avi", "mjpeg", ""),
        ("mpegts", "libx264", ""),
        ("gif", "gif", ""),
    ],
)
def test_a_truncated_file_gives_what_is_there(
    container, codec, movflags, encode, numbered, number_of, model_input, limits
):
    pixels = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    options = {"g": "5", "bf": "0"} if codec == "libx264" else {}
    whole = encode(numbered(60), container, codec, pixels, options=options, movflags=movflags)
    clip = decode(whole[: len(whole) * 2 // 3], model_input, limits)
    assert clip.indices[0] == 0
    assert 20 < clip.indices[-1] < 59
    assert [number_of(frame) for frame in clip.frames[:-1]] == list(clip.indices[:-1])


def test_a_container_that_counts_wrongly_is_not_believed(encode, numbered, number_of, model_input, limits):
    """An edit list hides the first 5 frames: packets outnumber frames."""
    data = bytearray(encode(numbered(40), options={"bf": "0", "g": "40"}))
    at = data.find(b"elst")
    (media_time,) = struct.unpack_from(">i", data, at + 16)
    # 512 units of the media time base per frame at 25 frames per second.
    struct.pack_into(">i", data, at + 16, media_time + 5 * 512)
    clip = decode(bytes(data), model_input, limits)
    shown = [number_of(frame) for frame in clip.frames]
    assert shown == (np.linspace(0, 34, 8).round().astype(int) + 5).tolist()
    assert clip.timestamps[0] == 0


def test_a_size_that_changes_on_the_way_is_brought_back_to_the_first(encode, numbered, number_of, model_input, limits):
    options = {"bf": "0"}
    data = encode(numbered(20), "mpegts", options=options) + encode(numbered(20, 160, 96), "mpegts", options=options)
    clip = decode(data, model_input, limits)
    assert (clip.source_width, clip.source_height) == (80, 48)
    assert number_of(clip.frames[0]) == 0
    assert number_of(clip.frames[-1]) == 19


def test_real_clips_agree_with_decoding_everything(assets, limits):
    paths = [p for p in sorted((assets / "clips").rglob("*")) if p.suffix in {".mp4", ".avi", ".mkv", ".gif", ".webm"}]
    assert paths
    takes = model_pb2.ModelInput(frames=16, height=56, width=56, resize="stretch")
    for path in paths:
        clip = decode(path.read_bytes(), takes, limits)
        with av.open(str(path)) as whole:
            aspect = whole.streams.video[0].sample_aspect_ratio or 1
            sizes = [(round(frame.width * aspect), frame.height) for frame in whole.decode(video=0)]
        assert list(clip.indices) == np.linspace(0, len(sizes) - 1, 16).round().tolist(), path.name
        assert (clip.source_width, clip.source_height) == sizes[0]
        assert clip.fps > 0
        assert len(clip.timestamps) == 16


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pixels": 80 * 48 - 1}, "PICTURE_TOO_LARGE"),
        ({"frames": 49}, "TOO_MANY_FRAMES"),
        ({"seconds": 1.9}, "CLIP_TOO_LONG"),
        ({"codecs": frozenset({"vp9"})}, "CODEC_UNSUPPORTED"),
    ],
)
def test_each_limit_is_checked_and_just_within_it_is_served(change, reason, encode, numbered, model_input, limits):
    data = encode(numbered(50))
    exact = {"pixels": 80 * 48, "frames": 50, "seconds": 2.0, "codecs": frozenset({"h264"})}
    decode(data, model_input, limits.model_copy(update=exact))
    with pytest.raises(InvalidArgument) as caught:
        decode(data, model_input, limits.model_copy(update=change))
    assert (caught.value.field, caught.value.reason) == ("clip.video", reason)
