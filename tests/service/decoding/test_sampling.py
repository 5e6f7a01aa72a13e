from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionlens.card import SamplingRule
from actionlens.v1 import clip_pb2, model_pb2
from service.decoding.clip import decode_clip
from service.decoding.sampling import choose, effective_fps
from service.errors import InvalidArgument
from service.settings import Limits

INPUT = model_pb2.ModelInput(frames=4, sampling="uniform", stride=3)


@given(st.integers(1, 5000), st.integers(1, 512))
def test_uniform_is_the_rounded_linspace(count, frames):
    chosen = choose(clip_pb2.Sampling(), model_pb2.ModelInput(frames=frames), count)
    assert list(chosen) == np.linspace(0, count - 1, frames).round().tolist()
    assert 0 <= min(chosen) <= max(chosen) < count


def test_halves_go_to_the_even_frame():
    # linspace(0, 5, 3) = 0, 2.5, 5 and linspace(0, 3, 3) = 0, 1.5, 3.
    three = model_pb2.ModelInput(frames=3)
    assert choose(clip_pb2.Sampling(), three, 6) == (0, 2, 5)
    assert choose(clip_pb2.Sampling(), three, 4) == (0, 2, 3)


def test_one_frame_is_seen_as_often_as_the_model_looks():
    assert choose(clip_pb2.Sampling(), INPUT, 1) == (0, 0, 0, 0)


@pytest.mark.parametrize("sampling", [clip_pb2.Sampling(), clip_pb2.Sampling(dense=clip_pb2.DenseSampling())])
def test_one_frame_does_not_move(sampling):
    flow = model_pb2.ModelInput(frames=4, color="flow")
    with pytest.raises(InvalidArgument, match="clip: has one frame; the model is shown optical flow") as caught:
        choose(sampling, flow, 1)
    assert caught.value.field == "clip"
    assert choose(sampling, flow, 2)[-1] == 1


@pytest.mark.parametrize(
    ("dense", "count", "expected"),
    [
        (clip_pb2.DenseSampling(), 10, (0, 1, 2, 3)),
        (clip_pb2.DenseSampling(stride=3, start=1), 20, (1, 4, 7, 10)),
        (clip_pb2.DenseSampling(stride=2, start=5), 9, (5, 7, 8, 8)),
        (clip_pb2.DenseSampling(stride=2**32 - 1), 9, (0, 8, 8, 8)),
    ],
)
def test_dense_strides_and_repeats_the_last_frame(dense, count, expected):
    assert choose(clip_pb2.Sampling(dense=dense), INPUT, count) == expected


def test_the_card_decides_when_nothing_is_asked():
    card = model_pb2.ModelInput(frames=4, sampling="dense", stride=3)
    assert choose(clip_pb2.Sampling(), card, 100) == (0, 3, 6, 9)
    assert choose(clip_pb2.Sampling(uniform=clip_pb2.UniformSampling()), card, 100) == (0, 33, 66, 99)


def published_segments(count, frames):
    """The test branch of tsn-pytorch, TRN-pytorch and TSM, from 0."""
    tick = count / float(frames)
    return tuple(int(tick / 2.0 + tick * x) for x in range(frames))


def published_span(start, stride, frames, count):
    """temporal_sampling of PySlowFast on a clip of its span, and UniformTemporalSubsample of PyTorchVideo."""
    index = np.linspace(start, start + stride * frames - 1, frames)
    return tuple(np.clip(index, 0, count - 1).astype(np.int64).tolist())


@given(st.integers(1, 3000), st.integers(1, 128))
def test_segments_are_seen_in_their_middle(count, frames):
    asked = clip_pb2.Sampling(segments=clip_pb2.SegmentSampling())
    chosen = choose(asked, model_pb2.ModelInput(frames=frames), count)
    assert chosen == choose(clip_pb2.Sampling(), model_pb2.ModelInput(frames=frames, sampling="segments"), count)
    assert len(chosen) == frames
    assert 0 <= min(chosen) <= max(chosen) < count
    for position, published in zip(chosen, published_segments(count, frames), strict=True):
        # The published code rounds twice, and can be one below where the middle is a whole number.
        assert position in (published, published + 1)
    # From either end it looks the same, to the frame.
    assert all(abs(count - 1 - late - early) <= 1 for early, late in zip(chosen, reversed(chosen), strict=True))


@pytest.mark.parametrize(("count", "frames"), [(80, 8), (97, 8), (300, 16), (41, 3), (8, 8), (3, 8), (1, 4)])
def test_segments_are_those_of_the_published_code(count, frames):
    card = model_pb2.ModelInput(frames=frames, sampling="segments")
    assert choose(clip_pb2.Sampling(), card, count) == published_segments(count, frames)


@given(st.integers(1, 3000), st.integers(1, 64), st.integers(1, 32), st.integers(0, 50))
def test_a_span_is_spread_over_its_last_frame_too(count, frames, stride, start):
    card = model_pb2.ModelInput(frames=frames, sampling="span", stride=stride)
    if start < count:
        asked = clip_pb2.Sampling(span=clip_pb2.SpanSampling(stride=stride, start=start))
        for position, published in zip(
            choose(asked, card, count), published_span(start, stride, frames, count), strict=True
        ):
            assert position in (published, published + 1)
    assert choose(clip_pb2.Sampling(), card, count)[0] == 0


@pytest.mark.parametrize(("frames", "stride"), [(8, 8), (32, 2), (16, 5), (4, 12), (13, 6), (8, 32)])
def test_spans_of_the_published_networks_are_those_of_the_published_code(frames, stride):
    card = model_pb2.ModelInput(frames=frames, sampling="span", stride=stride)
    for count in (300, 256, 40, 7):
        assert choose(clip_pb2.Sampling(), card, count) == published_span(0, stride, frames, count)
    assert choose(clip_pb2.Sampling(), card, 300) != choose(
        clip_pb2.Sampling(), model_pb2.ModelInput(frames=frames, sampling="dense", stride=stride), 300
    )


def test_starts_are_the_first_frames_of_segments_of_whole_frames():
    card = model_pb2.ModelInput(frames=4, sampling="starts")
    assert choose(clip_pb2.Sampling(), card, 15) == (0, 3, 6, 9)
    assert choose(clip_pb2.Sampling(), card, 3) == (0, 1, 2, 2)


def test_segments_of_a_card_are_one_of_five_and_uniform_can_be_asked_for():
    card = model_pb2.ModelInput(frames=4, sampling="segments", stride=3)
    assert choose(clip_pb2.Sampling(), card, 100) == (12, 37, 62, 87)
    assert choose(clip_pb2.Sampling(uniform=clip_pb2.UniformSampling()), card, 100) == (0, 33, 66, 99)
    assert {rule.value for rule in SamplingRule} == {"uniform", "segments", "starts", "dense", "span", "rate"}


def published_rate(fps: float, rate: float, frames: int, count: int) -> list[int]:
    """torchvision.datasets.video_utils.VideoClips: the first clip of the resampled video, its last frame repeated."""
    total, step = int(np.floor(count * rate / fps)), fps / rate
    indices = np.floor(np.arange(total, dtype=np.float32) * step).astype(int) if step % 1 else np.arange(total) * step
    return [min(int(indices[i]) if i < total else count - 1, count - 1) for i in range(frames)]


@pytest.mark.parametrize("fps", [30, 25, 24, 15, 10, 60, 50, 30000 / 1001, 12.5, 29])
def test_a_rate_is_resampled_as_the_published_code_does(fps):
    card = model_pb2.ModelInput(frames=16, sampling="rate", fps=15, stride=2)
    assert list(choose(clip_pb2.Sampling(), card, 300, fps)) == published_rate(fps, 15, 16, 300)
    asked = clip_pb2.Sampling(rate=clip_pb2.RateSampling(fps=15))
    dense = model_pb2.ModelInput(frames=16, sampling="dense", stride=2)
    assert choose(asked, dense, 300, fps) == choose(clip_pb2.Sampling(), card, 300, fps)


def test_a_rate_starts_where_it_is_asked_to_and_repeats_the_last_frame():
    card = model_pb2.ModelInput(frames=4, sampling="rate", fps=10)
    asked = clip_pb2.Sampling(rate=clip_pb2.RateSampling(start=3))
    assert choose(asked, card, 10, 25.0) == (3, 5, 8, 9)
    slowest = clip_pb2.Sampling(rate=clip_pb2.RateSampling(fps=5e-324))
    assert choose(slowest, card, 10, 25.0) == (0, 9, 9, 9)
    # 60 frames of which a file of whole milliseconds says that they last 1.967 s.
    assert choose(clip_pb2.Sampling(), card, 60, 30 + 1e-8) == choose(clip_pb2.Sampling(), card, 60, 30) == (0, 3, 6, 9)


@pytest.mark.parametrize("fps", [0.0, float("nan"), -1.0, float("inf")])
def test_a_rate_that_is_none_is_refused(fps):
    with pytest.raises(InvalidArgument, match=r"sampling\.rate\.fps") as caught:
        choose(clip_pb2.Sampling(rate=clip_pb2.RateSampling(fps=fps)), INPUT, 10, 25.0)
    assert caught.value.reason == "FRAME_RATE_INVALID"


def raw(count: int, fps: float) -> clip_pb2.Clip:
    pixels = np.zeros((count, 8, 8, 3), np.uint8)
    return clip_pb2.Clip(raw=clip_pb2.RawFrames(data=pixels.tobytes(), count=count, height=8, width=8, fps=fps))


@pytest.mark.parametrize(
    ("fps", "indices", "note"),
    [
        (0, (0, 2, 4, 6), "frame rate is not known: the model sees one of every 2 frames, not 15 a second"),
        (30, (0, 2, 4, 6), ""),
        (60, (0, 4, 8, 11), ""),
        (10, (0, 0, 1, 2), "1 of the 4 frames that the model sees repeat another: it sees 15 a second"),
    ],
)
def test_what_a_rate_could_not_do_is_said(fps, indices, note):
    card = model_pb2.ModelInput(frames=4, height=8, width=8, resize="stretch", sampling="rate", fps=15, stride=2)
    images = [cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()] * 12
    for clip in (raw(12, fps), clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=images, fps=fps))):
        decoded = decode_clip(clip, clip_pb2.Sampling(), card, Limits())
        assert decoded.indices == indices
        assert any(note in said for said in decoded.notes) if note else not decoded.notes


@pytest.mark.parametrize(("container", "rate"), [("mp4", 25), ("matroska", 30), ("mp4", 24), ("mpegts", 30)])
def test_the_rate_of_a_file_is_read(encode, container, rate):
    card = model_pb2.ModelInput(frames=8, height=48, width=64, resize="stretch", sampling="rate", fps=15)
    data = encode([np.full((48, 64, 3), shade, np.uint8) for shade in range(40)], container=container, rate=rate)
    decoded = decode_clip(clip_pb2.Clip(video=data), clip_pb2.Sampling(), card, Limits())
    assert list(decoded.indices) == published_rate(rate, 15, 8, 40)


def test_windows_are_spread_from_the_first_frame_to_the_last():
    card = model_pb2.ModelInput(frames=6, windows=3, sampling="dense", stride=2)
    assert choose(clip_pb2.Sampling(), card, 15) == (0, 2, 6, 8, 12, 14)
    span = model_pb2.ModelInput(frames=6, windows=3, sampling="span", stride=2)
    assert choose(clip_pb2.Sampling(), span, 16) == (0, 3, 6, 9, 12, 15)
    rate = model_pb2.ModelInput(frames=6, windows=3, sampling="rate", fps=10)
    assert choose(clip_pb2.Sampling(), rate, 16, 30.0) == (0, 3, 6, 9, 12, 15)
    later = clip_pb2.Sampling(dense=clip_pb2.DenseSampling(start=10, stride=2))
    assert choose(later, card, 15) == (10, 12, 11, 13, 12, 14)


def test_windows_that_overlap_are_said():
    card = model_pb2.ModelInput(frames=6, height=8, width=8, resize="stretch", windows=3, sampling="dense", stride=1)
    assert decode_clip(raw(6, 25), clip_pb2.Sampling(), card, Limits()).notes == ()
    close = decode_clip(raw(3, 25), clip_pb2.Sampling(), card, Limits())
    assert close.indices == (0, 1, 0, 1, 1, 2)
    (note,) = close.notes
    assert "3 of the 6 frames that the model sees repeat another: its windows overlap" in note


@pytest.mark.parametrize(
    ("rule", "expected"), [("segments", (1, 3, 6, 8)), ("span", (0, 2, 4, 7)), ("starts", (0, 2, 4, 6))]
)
def test_pixels_and_images_are_sampled_by_the_card(rule, expected):
    card = model_pb2.ModelInput(frames=4, height=8, width=8, resize="stretch", sampling=rule, stride=2)
    pixels = np.repeat(np.arange(10, dtype=np.uint8) * 20, 8 * 8 * 3).reshape(10, 8, 8, 3)
    raw = clip_pb2.RawFrames(data=pixels.tobytes(), count=10, height=8, width=8)
    images = clip_pb2.EncodedFrames(images=[cv2.imencode(".png", frame)[1].tobytes() for frame in pixels])
    for clip in (clip_pb2.Clip(raw=raw), clip_pb2.Clip(frames=images)):
        decoded = decode_clip(clip, clip_pb2.Sampling(), card, Limits())
        assert decoded.indices == expected
        assert decoded.frames[:, 0, 0, 0].tolist() == [20 * index for index in expected]


def test_given_positions_are_taken_in_their_order():
    asked = clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[9, 0, 0, 4]))
    assert choose(asked, INPUT, 10) == (9, 0, 0, 4)


@pytest.mark.parametrize(
    ("sampling", "field", "reason"),
    [
        (clip_pb2.Sampling(dense=clip_pb2.DenseSampling(start=10)), "sampling.dense.start", "SAMPLING_OUT_OF_RANGE"),
        (clip_pb2.Sampling(span=clip_pb2.SpanSampling(start=10)), "sampling.span.start", "SAMPLING_OUT_OF_RANGE"),
        (
            clip_pb2.Sampling(segments=clip_pb2.SegmentSampling(count=5)),
            "sampling.segments.count",
            "SAMPLING_WRONG_COUNT",
        ),
        (
            clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[1, 2, 10, 3])),
            "sampling.indices.values[2]",
            "SAMPLING_OUT_OF_RANGE",
        ),
        (
            clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[1])),
            "sampling.indices.values",
            "SAMPLING_WRONG_COUNT",
        ),
        (clip_pb2.Sampling(indices=clip_pb2.IndexSampling()), "sampling.indices.values", "SAMPLING_WRONG_COUNT"),
        (
            clip_pb2.Sampling(uniform=clip_pb2.UniformSampling(count=5)),
            "sampling.uniform.count",
            "SAMPLING_WRONG_COUNT",
        ),
    ],
)
def test_positions_that_do_not_exist_are_named(sampling, field, reason):
    with pytest.raises(InvalidArgument) as caught:
        choose(sampling, INPUT, 10)
    assert (caught.value.field, caught.value.reason) == (field, reason)
    assert field in caught.value.message


ANY_LENGTH = model_pb2.ModelInput(frames=4, most_frames=6)


def test_models_of_any_length_take_as_many_frames_as_asked_for():
    six = clip_pb2.Sampling(uniform=clip_pb2.UniformSampling(count=6))
    two = clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[7, 1]))
    assert choose(six, ANY_LENGTH, 11) == (0, 2, 4, 6, 8, 10)
    halves = clip_pb2.Sampling(segments=clip_pb2.SegmentSampling(count=2))
    assert choose(halves, ANY_LENGTH, 12) == (3, 9)
    assert choose(two, ANY_LENGTH, 11) == (7, 1)
    assert choose(clip_pb2.Sampling(), ANY_LENGTH, 10) == (0, 3, 6, 9)


@pytest.mark.parametrize(
    "sampling",
    [
        clip_pb2.Sampling(uniform=clip_pb2.UniformSampling(count=7)),
        clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[0] * 7)),
        clip_pb2.Sampling(indices=clip_pb2.IndexSampling()),
    ],
)
def test_more_frames_than_such_a_model_takes_are_refused(sampling):
    with pytest.raises(InvalidArgument, match="1 to 6") as caught:
        choose(sampling, ANY_LENGTH, 10)
    assert caught.value.reason == "SAMPLING_WRONG_COUNT"


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((0.0, 0.1, 0.2, 0.3), 10.0),
        ((0.0, 0.1, 0.2, 0.2, 0.2), 10.0),
        ((0.0, 0.5, 0.6), 10 / 3),
        ((0.3, 0.2), 0.0),
        ((0.0, 0.0), 0.0),
        ((), 0.0),
    ],
)
def test_effective_rate_is_steps_over_time(times, expected):
    assert effective_fps(times) == pytest.approx(expected)
