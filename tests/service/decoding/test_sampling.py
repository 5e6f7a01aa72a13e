from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionlens.v1 import clip_pb2, model_pb2
from service.decoding.sampling import choose, effective_fps
from service.errors import InvalidArgument

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


def test_given_positions_are_taken_in_their_order():
    asked = clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[9, 0, 0, 4]))
    assert choose(asked, INPUT, 10) == (9, 0, 0, 4)


@pytest.mark.parametrize(
    ("sampling", "field", "reason"),
    [
        (clip_pb2.Sampling(dense=clip_pb2.DenseSampling(start=10)), "sampling.dense.start", "SAMPLING_OUT_OF_RANGE"),
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
