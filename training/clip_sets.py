"""Make the clips that "motion-primitives" is trained on, once: python -m training.clip_sets --out DIR

Two sets of 56 x 56 pixels, rendered at 112 and averaged over 2 x 2, in parts of 500 clips: DIR/rooms of
`actionlens.generated_clips.clips`, ten classes, and DIR/webcam of `actionlens.generated_clips.webcam`, eleven. Parts
that are there already are kept, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.generated_clips.clips import Sample, generate
from actionlens.generated_clips.labels import MIRROR_COLUMNS, MIRROR_ROWS, REVERSE_TIME, STILL, TRANSPOSE
from actionlens.generated_clips.webcam.webcam_clips import generate_webcam
from training.batches import IGNORED, Clips, Labels

SIZE, CELLS, FRAMES, PART = 56, 7, 16, 500

#: First seeds of the two sets, and who draws them.
SOURCES: dict[str, tuple[int, Callable[[int], Sample]]] = {
    "rooms": (70_000_000, generate),
    "webcam": (80_000_000, generate_webcam),
}
Masks = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Masked:
    """`clips` uint8 RGB [B, 16, S, S, 3], `labels` int64 [B], `masks` bool [B, 16, S, S] of what moves and `strokes`
    bool [B, 16], as `Sample` has them."""

    clips: Clips
    labels: Labels
    masks: Masks
    strokes: Masks

    def __len__(self) -> int:
        return len(self.labels)

    def cell_labels(self, cells: int = CELLS) -> Labels:
        """int64 [B, 16, cells, cells]: what moves in each cell, as `training.batches.Batch` has it."""
        count, frames, size, _ = self.masks.shape
        side = size // cells
        shares = self.masks.reshape(count, frames, cells, side, cells, side).mean(axis=(3, 5))
        found = np.full(shares.shape, IGNORED, np.int64)
        found[shares < 0.01] = STILL
        named = (shares > 0.25) & self.strokes[:, :, None, None]
        return np.where(named, self.labels[:, None, None, None], found)


def halved(sample: Sample) -> tuple[Clips, Masks]:
    """A sample of twice the size, averaged over 2 x 2 pixels: clip and mask."""
    size = sample.clip.shape[1] // 2
    frames = [cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA) for frame in sample.clip]
    mask = sample.mask.reshape(len(frames), size, 2, size, 2).mean(axis=(2, 4)) >= 0.5
    return np.stack(frames).astype(np.uint8), mask


def of_seeds(draw: Callable[[int], Sample], seeds: range) -> Masked:
    """The clips of consecutive seeds at half the size at which they are drawn."""
    samples = [draw(seed) for seed in seeds]
    pairs = [halved(sample) for sample in samples]
    return Masked(
        np.stack([clip for clip, _ in pairs]),
        np.array([sample.label for sample in samples]),
        np.stack([mask for _, mask in pairs]),
        np.stack([sample.stroke for sample in samples]),
    )


def _make(job: tuple[str, int, Path]) -> None:
    name, part, path = job
    cv2.setNumThreads(1)
    first, draw = SOURCES[name]
    made = of_seeds(draw, range(first + part * PART, first + (part + 1) * PART))
    np.savez(
        path.with_suffix(".labels.npz"), labels=made.labels, strokes=made.strokes, masks=np.packbits(made.masks, -1)
    )
    np.save(path.with_suffix(".new.npy"), made.clips)
    path.with_suffix(".new.npy").replace(path)
    print(path, flush=True)


def make_sets(folder: Path, counts: dict[str, int], processes: int) -> None:
    """Make the parts that are missing, those of the sets by turns."""
    jobs = []
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        jobs += [(part, name, folder / name / f"{part:04d}.npy") for part in range(count // PART)]
    missing = [(name, part, path) for part, name, path in sorted(jobs) if not path.exists()]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(_make, missing, chunksize=1)


class ClipSet:
    """The parts of one folder, mapped from their files."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(path for path in folder.glob("????.npy"))
        self._clips = [np.load(path, mmap_mode="r") for path in paths]
        known = [np.load(path.with_suffix(".labels.npz")) for path in paths]
        self.labels = np.concatenate([part["labels"] for part in known])
        self._strokes = np.concatenate([part["strokes"] for part in known])
        self._masks = np.concatenate([part["masks"] for part in known])

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: NDArray[np.integer]) -> Masked:
        """These clips, copied."""
        clips = np.stack([self._clips[row // PART][row % PART] for row in chosen])
        masks = np.unpackbits(self._masks[chosen], axis=-1).astype(np.bool_)
        return Masked(clips, self.labels[chosen], masks, self._strokes[chosen])


def joined(parts: list[Masked]) -> Masked:
    """All clips of the parts."""
    return Masked(*(np.concatenate(found) for found in zip(*map(_fields, parts), strict=True)))


def _fields(part: Masked) -> tuple[NDArray[np.generic], ...]:
    return part.clips, part.labels, part.masks, part.strokes


def turned(rng: np.random.Generator, batch: Masked) -> Masked:
    """Every clip mirrored, transposed, reversed in time and with its colours swapped at random, its label adapted, as
    `training.batches.flipped` does it."""
    clips, labels, masks, strokes = (field.copy() for field in _fields(batch))
    for item in range(len(batch)):
        clip, mask, stroke, label = batch.clips[item], batch.masks[item], batch.strokes[item], int(batch.labels[item])
        columns, rows, swap, back, colours = rng.random(5) < 0.5
        if columns:
            clip, mask, label = clip[:, :, ::-1], mask[:, :, ::-1], MIRROR_COLUMNS[label]
        if rows:
            clip, mask, label = clip[:, ::-1], mask[:, ::-1], MIRROR_ROWS[label]
        if swap:
            clip, mask, label = clip.transpose(0, 2, 1, 3), mask.transpose(0, 2, 1), TRANSPOSE[label]
        if back:
            clip, mask, stroke, label = clip[::-1], mask[::-1], stroke[::-1], REVERSE_TIME[label]
        if colours:
            clip = clip[..., rng.permutation(3)]
        clips[item], masks[item], strokes[item], labels[item] = clip, mask, stroke, label
    return Masked(clips, labels, masks, strokes)  # type: ignore[arg-type]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/clips"))
    parser.add_argument("--rooms", type=int, default=12_000)
    parser.add_argument("--webcam", type=int, default=12_000)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    make_sets(options.out, {"rooms": options.rooms, "webcam": options.webcam}, options.processes)


if __name__ == "__main__":
    main()
