"""The generator: deterministic, and its masks show the motion its label names."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from actionlens.generated_clips.clips import HELD_OUT_SEED, generate
from actionlens.generated_clips.labels import CLASSES, STILL

SIZE = 48


def centroids(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Centre (column, row) of the mask in each frame that has one, [n, 2]."""
    return np.array([np.argwhere(frame).mean(axis=0)[::-1] for frame in mask if frame.any()])


def test_classes_come_in_the_documented_order() -> None:
    assert CLASSES == (
        "move left",
        "move right",
        "move up",
        "move down",
        "approach",
        "recede",
        "rotate clockwise",
        "rotate counter-clockwise",
        "shake",
        "still",
    )


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    first, again, other = generate(7, size=SIZE), generate(7, size=SIZE), generate(8, size=SIZE)
    assert first.label == again.label
    assert np.array_equal(first.clip, again.clip)
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.clip, other.clip)


@pytest.mark.parametrize(("frames", "size"), [(16, 112), (5, 40)])
def test_shapes_and_types(frames: int, size: int) -> None:
    sample = generate(3, frames=frames, size=size)
    assert sample.clip.shape == (frames, size, size, 3)
    assert sample.clip.dtype == np.uint8
    assert sample.mask.shape == (frames, size, size)
    assert sample.mask.dtype == np.bool_
    assert sample.stroke.shape == (frames,)
    assert sample.stroke.dtype == np.bool_


def test_every_class_is_drawn() -> None:
    labels = {generate(seed, frames=2, size=24).label for seed in range(80)}
    assert labels == set(range(len(CLASSES)))


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("move left", 0, -1), ("move right", 0, 1), ("move up", 1, -1), ("move down", 1, 1)],
)
def test_the_mask_of_a_translation_moves_as_named(name: str, axis: int, sign: int) -> None:
    for seed in range(12):
        sample = generate(seed, CLASSES.index(name), size=SIZE, plain=True)
        # A mask cut by the frame's border lags behind its object, never leads it: the sign holds.
        path = centroids(sample.mask[~touches_border(sample.mask)])
        if len(path) > 3:
            assert sign * (path[-1, axis] - path[0, axis]) > 0, seed


def touches_border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """In which frames the mask reaches the border, [T]."""
    return np.array([any(edge.any() for edge in (m[0], m[-1], m[:, 0], m[:, -1])) for m in mask])


@pytest.mark.parametrize(("name", "grows"), [("approach", True), ("recede", False)])
def test_the_mask_grows_when_something_approaches(name: str, grows: bool) -> None:
    for seed in range(12):
        areas = generate(seed, CLASSES.index(name), size=SIZE, plain=True).mask.sum(axis=(1, 2))
        seen = areas[areas > 0]
        assert (seen[-1] > seen[0]) is np.bool_(grows), seed


def test_nothing_is_marked_as_moving_when_all_is_still() -> None:
    for seed in range(8):
        sample = generate(seed, STILL, size=SIZE)
        assert not sample.mask.any()
        assert not sample.stroke.any()


def test_the_mask_covers_what_changes() -> None:
    """In an easy clip (still room, one mover) nothing outside the mask of two neighbouring frames differs."""
    for seed in range(8):
        sample = generate(seed, CLASSES.index("move right"), size=SIZE, plain=True)
        pairs = sample.mask[:-1] | sample.mask[1:]
        changed = np.abs(np.diff(sample.clip.astype(int), axis=0)).max(axis=-1) > 60
        moving = sample.mask[:-1].any(axis=(1, 2)) & sample.mask[1:].any(axis=(1, 2))
        assert (changed & ~pairs)[moving].sum() <= 0.1 * max(1, changed[moving].sum()), seed


def test_the_stroke_lies_within_the_movement() -> None:
    for seed in range(40):
        sample = generate(seed, size=SIZE)
        assert sample.mask[sample.stroke].any(axis=(1, 2)).all()


def test_seeds_of_training_and_evaluation_are_apart() -> None:
    assert HELD_OUT_SEED == (255 + 1) * 2**32
