"""Webcam-like clips: deterministic, within black bars, and an eleventh class that none of the ten names."""

from __future__ import annotations

import numpy as np
import pytest

from actionlens.generated_clips.labels import CLASSES, NAMES, OTHER, STILL
from actionlens.generated_clips.webcam import webcam_clips
from actionlens.generated_clips.webcam.filming import compressed, letterboxed
from actionlens.generated_clips.webcam.views import similarity
from actionlens.generated_clips.webcam.webcam_clips import generate_webcam

SIZE = 48


def test_the_eleventh_class_comes_behind_the_ten() -> None:
    assert (*CLASSES, "something else") == NAMES
    assert NAMES[OTHER] == "something else"


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    first, again, other = (generate_webcam(seed, size=SIZE) for seed in (7, 7, 8))
    assert first.label == again.label
    assert np.array_equal(first.clip, again.clip)
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.clip, other.clip)


def test_shapes_and_types() -> None:
    sample = generate_webcam(3, frames=5, size=40)
    assert sample.clip.shape == (5, 40, 40, 3)
    assert sample.clip.dtype == np.uint8
    assert sample.mask.shape == (5, 40, 40)
    assert sample.mask.dtype == np.bool_
    assert sample.stroke.shape == (5,)


@pytest.mark.parametrize(("name", "axis", "sign"), [("move left", 1, -1), ("move down", 0, 1)])
def test_the_mask_of_a_translation_moves_as_named(name: str, axis: int, sign: int) -> None:
    right = 0
    for seed in range(10):
        sample = generate_webcam(seed, CLASSES.index(name), size=SIZE)
        centres = [np.argwhere(mask).mean(axis=0)[axis] for mask in sample.mask[sample.stroke]]
        right += sign * (centres[-1] - centres[0]) > 0
    assert right >= 8  # an arm that the picture's border cuts off can hide the way of the hand


def test_nothing_is_marked_as_moving_when_all_is_still() -> None:
    for seed in range(4):
        assert not generate_webcam(seed, STILL, size=SIZE).mask.any()


@pytest.mark.parametrize("kind", webcam_clips.KINDS)
def test_every_kind_of_something_else_is_drawn(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webcam_clips, "CHANCES", [float(kind == each) for each in webcam_clips.KINDS])
    sample = generate_webcam(5, OTHER, size=SIZE)
    assert sample.label == OTHER
    assert sample.mask.any(axis=(1, 2)).sum() >= 3
    # A part that has a name of its own is not said to have none.
    assert sample.stroke.any() == (kind not in webcam_clips.NAMED_PARTS)


def test_bars_are_black_and_the_picture_keeps_its_shape() -> None:
    boxed = letterboxed(np.full((2, 48, 48, 3), 200, np.uint8), 16 / 9, 48)
    assert not boxed[:, :10].any()
    assert not boxed[:, -11:].any()
    assert (boxed[:, 12:36] == 200).all()


def test_compression_leaves_small_changes_out_and_shows_large_ones() -> None:
    clip = np.full((3, 16, 16, 3), 90, np.uint8)
    clip[1] += 2
    clip[2] += 80
    packed = compressed(clip, 12).astype(int)
    assert abs(packed[0] - 90).max() <= 10  # steps of brightness at this quality
    assert (packed[1] == packed[0]).all()
    assert abs(packed[2] - 170).max() <= 20


def test_a_turn_of_the_camera_is_one_of_the_picture_that_is_not_squashed() -> None:
    """A quarter turn clockwise takes a point 10 pixels right of the centre of a 2:1 picture to 20 below it: half as
    many columns as rows make one length, for the picture is squashed to a square."""
    (matrix,) = similarity(np.ones(1), np.full(1, np.pi / 2), np.zeros((1, 2)), (50, 50), 2.0)
    assert np.allclose(matrix @ (60, 50, 1), (50, 70, 1))
