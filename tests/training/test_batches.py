"""Flips change a clip and its label together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from actionlens.generated_clips.labels import CLASSES, MIRROR_COLUMNS, MIRROR_ROWS, REVERSE_TIME, STILL, TRANSPOSE
from training.batches import IGNORED, Batch, Replay, flipped, make_batch, normalise

NAMES = {name: index for index, name in enumerate(CLASSES)}


def test_tables_name_the_flipped_motion() -> None:
    assert MIRROR_COLUMNS[NAMES["move left"]] == NAMES["move right"]
    assert MIRROR_ROWS[NAMES["move up"]] == NAMES["move down"]
    assert TRANSPOSE[NAMES["move left"]] == NAMES["move up"]
    assert REVERSE_TIME[NAMES["approach"]] == NAMES["recede"]
    for table in (MIRROR_COLUMNS, MIRROR_ROWS, TRANSPOSE, REVERSE_TIME):
        assert [table[table[label]] for label in range(10)] == list(range(10))
        assert table[NAMES["shake"]] == NAMES["shake"]
        assert table[NAMES["still"]] == NAMES["still"]
    turned = [table[NAMES["rotate clockwise"]] for table in (MIRROR_COLUMNS, MIRROR_ROWS, TRANSPOSE, REVERSE_TIME)]
    assert turned == [NAMES["rotate counter-clockwise"]] * 4


def test_a_flipped_square_still_moves_as_its_label_says() -> None:
    steps = {"move left": (0, -1), "move right": (0, 1), "move up": (-1, 0), "move down": (1, 0)}
    clips = np.zeros((4, 16, 40, 40, 3), np.uint8)
    for item, (down, right) in enumerate(steps.values()):
        for time in range(16):
            row, column = 17 + down * (time - 8), 17 + right * (time - 8)
            clips[item, time, row : row + 6, column : column + 6] = 255
    batch = Batch(clips, np.array([NAMES[name] for name in steps]), np.full((4, 16, 5, 5), STILL))
    rng = np.random.default_rng(0)
    for _ in range(20):
        turned = flipped(rng, batch)
        for clip, label in zip(turned.clips, turned.labels, strict=True):
            first, last = (np.argwhere(clip[time, ..., 0]).mean(axis=0) for time in (0, -1))
            assert np.array_equal(np.sign(last - first), steps[CLASSES[label]])


def test_places_follow_the_label_and_mark_doubt() -> None:
    batch = make_batch(range(12), 48, cells=6)
    assert batch.cell_labels.shape == (12, 16, 6, 6)
    turned = flipped(np.random.default_rng(1), batch)
    for cell_labels, label in zip(turned.cell_labels, turned.labels, strict=True):
        assert set(np.unique(cell_labels)) <= {IGNORED, STILL, int(label)}
    assert sorted(np.unique(turned.cell_labels == IGNORED)) == [False, True]


def test_normalisation_maps_bytes_to_minus_two_to_two() -> None:
    clips = np.array([0, 255], np.uint8).reshape(1, 2, 1, 1, 1).repeat(3, axis=4)
    tensor = normalise(clips)
    assert tensor.shape == (1, 3, 2, 1, 1)
    assert tensor[0, :, 0].flatten().tolist() == [-2.0] * 3
    assert abs(float(tensor[0, 0, 1]) - 2.0) < 1e-6


def test_replay_prefers_what_was_answered_wrong() -> None:
    """Clips are distinguished by their brightness; those of seed 3 modulo 8 are always answered wrong."""

    def source() -> Iterator[Batch]:
        for first in itertools.count(step=4):
            clips = np.arange(first, first + 4, dtype=np.uint8).reshape(4, 1, 1, 1, 1)
            yield Batch(
                np.broadcast_to(clips, (4, 2, 2, 2, 3)), np.zeros(4, np.int64), np.zeros((4, 2, 1, 1), np.int64)
            )

    replay = Replay(np.random.default_rng(0), source(), 8, memory=40)
    seen = np.zeros(256, int)
    for _ in range(60):
        drawn = replay.draw()
        numbers = drawn.clips[:, 0, 0, 0, 0]
        assert len(set(numbers.tolist())) == 8
        seen[numbers] += 1
        replay.judge(np.where(numbers % 8 == 3, 0.0, 1.0))
    settled = seen[40:200]
    assert settled[3::8].mean() > 3 * settled.mean()
    assert settled.min() >= 1
