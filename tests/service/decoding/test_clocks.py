"""Clocks that start again, leap, stand still or count in another unit."""

from __future__ import annotations

import numpy as np
import pytest

from actionlens.v1 import clip_pb2, model_pb2
from service.decoding.clip import decode_clip
from service.decoding.display import decode_for_display
from service.errors import InvalidArgument

TAKES = model_pb2.ModelInput(frames=8, height=48, width=80, sampling="uniform", stride=2)
EVERY = [0, 6, 11, 17, 22, 28, 33, 39]
"""linspace(0, 39, 8)."""


def read(data, limits, sampling=None):
    return decode_clip(clip_pb2.Clip(video=data), sampling or clip_pb2.Sampling(), TAKES, limits)


def check(clip, number_of, note):
    assert [number_of(frame) for frame in clip.frames] == list(clip.indices) == EVERY
    np.testing.assert_allclose(clip.timestamps, np.array(EVERY) / 25, atol=0.002)
    assert clip.fps == pytest.approx(25, rel=0.01)
    assert clip.effective_fps == pytest.approx(7 / (39 / 25), rel=0.01)
    assert [said[: len(note)] for said in clip.notes] == [note]


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "3"}, {"bf": "0", "g": "7"}])
def test_a_transport_stream_whose_clock_starts_again(options, encode, numbered, number_of, limits):
    images = numbered(40)
    data = encode(images[:20], "mpegts", options=options) + encode(images[20:], "mpegts", options=options)
    check(read(data, limits), number_of, "the source's clock goes back by 0.76 s before frame 20;")


@pytest.mark.parametrize("container", ["mpegts", "matroska", "mp4", "flv"])
def test_a_clock_that_leaps_is_no_time_that_passed(container, encode, numbered, number_of, limits):
    times = [40 * number + 3_600_000 * (number >= 20) for number in range(40)]
    data = encode(numbered(40), container, times=times, options={"bf": "0"})
    check(read(data, limits), number_of, "the source's clock leaps by 3600 s before frame 20;")


def test_a_clock_that_starts_again_twice_and_overlaps(encode, numbered, number_of, limits):
    """The second stretch begins in the middle of the first: no time is there twice, and sorting would mix them."""
    images = numbered(40)
    parts = [
        encode(part, "mpegts", times=[40 * n + start for n in range(len(part))], options={"bf": "0"})
        for part, start in ((images[:14], 0), (images[14:27], 130), (images[27:], 250))
    ]
    check(read(b"".join(parts), limits), number_of, "the source's clock goes back by 0.39 s before frame 14, and jumps")


def test_only_jumps_among_the_frames_that_are_seen_are_told(encode, numbered, limits):
    images = numbered(40)
    data = encode(images[:20], "mpegts", options={"bf": "0"}) + encode(images[20:], "mpegts", options={"bf": "0"})
    dense = clip_pb2.Sampling(dense=clip_pb2.DenseSampling(stride=2))
    assert read(data, limits, dense).notes == ()


def test_the_frames_for_people_are_the_same_ones(encode, numbered, number_of, limits):
    images = numbered(40)
    data = encode(images[:20], "mpegts", options={"bf": "0"}) + encode(images[20:], "mpegts", options={"bf": "0"})
    shown = decode_for_display(data, EVERY, 80, limits)
    assert [number_of(image) for image in shown] == EVERY


def test_a_gap_is_believed_and_told(encode, numbered, number_of, limits):
    times = [40 * number + 5000 * (number >= 20) for number in range(40)]
    clip = read(encode(numbered(40), "mpegts", times=times, options={"bf": "0"}), limits)
    assert [number_of(frame) for frame in clip.frames] == EVERY
    assert clip.timestamps[-1] == pytest.approx(6.56)
    assert clip.notes == ("no frames for 5.04 s before frame 20",)


def test_a_slide_show_is_none_of_this(encode, numbered, limits):
    data = encode(numbered(8), times=[9_000 * number for number in range(8)])
    assert read(data, limits).notes == ()


def test_a_variable_rate_is_none_of_this(encode, numbered, limits):
    times = [*range(0, 990, 33), *range(990, 4000, 200)]
    assert read(encode(numbered(len(times)), times=times), limits).notes == ()


def test_milliseconds_taken_for_seconds_are_questioned(encode, numbered, png, limits):
    # 6 frames, 40 s apart.
    data = encode(numbered(6), "matroska", times=[40_000 * number for number in range(6)])
    assert any("another unit" in note for note in read(data, limits).notes)
    data = encode(numbered(40), "matroska", times=[40_000 * number for number in range(40)])
    with pytest.raises(InvalidArgument, match=r"1600 s long.*0.025 frames per second.*another unit"):
        read(data, limits)
    # A period given for a rate.
    images = clip_pb2.EncodedFrames(images=[png(image) for image in numbered(8)], fps=0.04)
    clip = decode_clip(clip_pb2.Clip(frames=images), clip_pb2.Sampling(), TAKES, limits)
    assert clip.notes == ("0.04 frames per second by the timestamps: are they in another unit than seconds?",)


def test_frames_that_are_repeated_are_told(encode, numbered, limits):
    clip = read(encode(numbered(5)), limits)
    assert clip.notes == ("3 of the 8 frames that the model sees repeat another: the clip has no more",)
    asked = clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[0] * 8))
    assert read(encode(numbered(5)), limits, asked).notes == ()


def test_a_size_that_changes_is_told(encode, numbered, number_of, limits):
    parts = numbered(20), numbered(40, 160, 96)[20:]
    data = b"".join(encode(part, "mpegts", options={"bf": "0"}) for part in parts)
    clip = read(data, limits)
    assert [number_of(frame) for frame in clip.frames] == EVERY
    assert (
        "4 of 8 frames are of another size (160 x 96 pixels) than the first (80 x 48), and are brought to it"
        in clip.notes
    )


@pytest.mark.parametrize("container", ["matroska", "mp4"])
def test_frames_that_are_stored_out_of_order_are_no_step_back_of_the_clock(encode, container, limits):
    # Matroska gives no time of decoding for the first of them.
    images = [np.full((48, 80, 3), shade, np.uint8) for shade in range(0, 200, 5)]
    data = encode(images, container=container, rate=30, options={"bf": "2", "b-adapt": "0"})
    every = clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=range(8)))
    decoded = read(data, limits, every)
    assert decoded.fps == pytest.approx(30, rel=1e-3)
    assert decoded.timestamps == pytest.approx([position / 30 for position in range(8)], abs=1e-3)
    assert decoded.notes == ()


VARIABLE = [*range(0, 990, 33), *range(990, 3000, 200)]
"""Milliseconds: 30 frames at 30 per second, then 11 at 5 per second."""


def as_images(images, png, **clock):
    return clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=[png(image) for image in images], **clock))


def as_pixels(images, png, **clock):
    data = np.stack(images).tobytes()
    return clip_pb2.Clip(raw=clip_pb2.RawFrames(data=data, count=len(images), height=48, width=80, **clock))


@pytest.mark.parametrize("sent", [as_images, as_pixels])
def test_images_and_pixels_have_the_times_that_they_are_sent_with(sent, encode, numbered, png, limits):
    images = numbered(len(VARIABLE))
    own = [7 + time / 1000 for time in VARIABLE]
    of_file = read(encode(images, times=VARIABLE), limits)
    clip = decode_clip(sent(images, png, timestamps=own, fps=12), clip_pb2.Sampling(), TAKES, limits)
    assert clip.indices == of_file.indices
    np.testing.assert_allclose(clip.timestamps, of_file.timestamps, atol=1e-6)
    assert (clip.fps, clip.effective_fps) == pytest.approx((of_file.fps, of_file.effective_fps))
    assert clip.notes == ()


@pytest.mark.parametrize("sent", [as_images, as_pixels])
def test_a_clock_that_leaps_among_images_is_read_as_that_of_a_file(sent, numbered, png, limits):
    times = [number / 25 + 3600 * (number >= 20) for number in range(40)]
    clip = decode_clip(sent(numbered(40), png, timestamps=times), clip_pb2.Sampling(), TAKES, limits)
    np.testing.assert_allclose(clip.timestamps, np.array(EVERY) / 25, atol=1e-6)
    assert clip.notes[0].startswith("the source's clock leaps by 3600 s before frame 20;")


@pytest.mark.parametrize("sent", [as_images, as_pixels])
@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ([0.0, 1.0], "TIMESTAMPS_INVALID"),
        ([0.0, 1.0, float("nan")], "TIMESTAMPS_INVALID"),
        ([0.0, float("inf"), 1.0], "TIMESTAMPS_INVALID"),
        ([0.0, 600.0, 1200.0], "CLIP_TOO_LONG"),
        ([0.0, 1e300, 1.7e308], "CLIP_TOO_LONG"),
    ],
)
def test_times_that_cannot_be_meant_are_refused(sent, times, reason, numbered, png, limits):
    with pytest.raises(InvalidArgument) as refused:
        decode_clip(sent(numbered(3), png, timestamps=times), clip_pb2.Sampling(), TAKES, limits)
    assert refused.value.reason == reason
    assert refused.value.field in ("clip.frames.timestamps", "clip.raw.timestamps")
