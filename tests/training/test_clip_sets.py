"""Sets of clips are made once, and their labels follow every flip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actionlens.generated_clips.clips import Sample, generate
from actionlens.generated_clips.labels import CLASSES, STILL
from training import clip_sets
from training.batches import IGNORED
from training.clip_sets import ClipSet, Masked, halved, joined, make_sets, of_seeds, turned


def draw(seed: int) -> Sample:
    return generate(seed, size=48)


def test_cells_are_named_by_how_much_of_them_moves() -> None:
    masks = np.zeros((1, 2, 4, 4), np.bool_)
    masks[0, :, :2, :2] = True  # all of the first cell
    masks[0, :, 0, 2] = True  # a quarter of the second, which is not more than a quarter
    batch = Masked(np.zeros((1, 2, 4, 4, 3), np.uint8), np.array([3]), masks, np.array([[True, False]]))
    cells = batch.cell_labels(2)
    assert cells[0, 0].tolist() == [[3, IGNORED], [STILL, STILL]]
    assert cells[0, 1].tolist() == [[IGNORED, IGNORED], [STILL, STILL]]


def test_a_sample_is_averaged_over_two_by_two_pixels() -> None:
    sample = draw(4)
    clip, mask = halved(sample)
    assert clip.shape == (16, 24, 24, 3)
    mean = sample.clip[3, 10:12, 6:8].astype(float).mean(axis=(0, 1))
    assert np.abs(clip[3, 5, 3] - mean).max() <= 1
    assert mask[:, 5, 3].tolist() == (sample.mask[:, 10:12, 6:8].sum(axis=(1, 2)) >= 2).tolist()


def test_flips_keep_the_mask_on_what_moves() -> None:
    """The mover is the only thing that is bright, so that the mask can be read off the flipped clip."""
    masks = np.zeros((1, 16, 24, 24), np.bool_)
    for time in range(16):
        masks[0, time, 10:14, time : time + 4] = True
    clips = np.repeat(masks[..., None], 3, axis=-1).astype(np.uint8) * 255
    batch = Masked(clips, np.array([CLASSES.index("move right")]), masks, np.arange(16)[None] < 5)
    ways = {"move left": (0, -1), "move right": (0, 1), "move up": (-1, 0), "move down": (1, 0)}
    rng = np.random.default_rng(0)
    for _ in range(20):
        found = turned(rng, batch)
        assert np.array_equal(found.masks[0], found.clips[0, ..., 0] > 0)
        first, last = (np.argwhere(found.masks[0, time]).mean(axis=0) for time in (0, -1))
        assert np.array_equal(np.sign(last - first), ways[CLASSES[found.labels[0]]])
        assert found.strokes[0].sum() == 5


def test_parts_that_are_there_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_sets, "PART", 2)
    made = of_seeds(draw, range(2))
    folder = tmp_path / "rooms"
    folder.mkdir()
    for part in range(2):
        np.savez(
            folder / f"{part:04d}.labels.npz",
            labels=made.labels,
            strokes=made.strokes,
            masks=np.packbits(made.masks, -1),
        )
        np.save(folder / f"{part:04d}.npy", made.clips)
    times = [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]
    make_sets(tmp_path, {"rooms": 4}, 1)
    assert times == [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]
    clips = ClipSet(folder)
    rows = clips.rows(np.array([3, 0]))
    assert len(clips) == 4
    assert np.array_equal(rows.clips, joined([made, made]).clips[[3, 0]])
    assert np.array_equal(rows.masks, joined([made, made]).masks[[3, 0]])
