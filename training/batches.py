"""Training batches: clips from a background process, flipped in space and time, as normalised tensors."""

from __future__ import annotations

import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from multiprocessing.queues import Queue
from queue import Full

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionlens.generated_clips.clips import Sample, generate
from actionlens.generated_clips.labels import MIRROR_COLUMNS, MIRROR_ROWS, REVERSE_TIME, STILL, TRANSPOSE

#: Input normalisation of the model, per channel: (value / 255 - MEAN) / STD.
MEAN, STD = 0.5, 0.25

#: Where no answer is asked for in `Batch.cell_labels`.
IGNORED = -100

Clips = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """`clips` uint8 RGB [B, 16, S, S, 3]; `labels` int64 [B]; `cell_labels` int64 [B, 16, C, C] for the C x C cells of
    the network's feature map: the label where the stroke is seen, STILL where nothing moves, IGNORED at the mover's
    edges and while it comes or leaves."""

    clips: Clips
    labels: Labels
    cell_labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, item: int) -> Batch:
        """One clip as a batch."""
        part = slice(item, item + 1)
        return Batch(self.clips[part], self.labels[part], self.cell_labels[part])


def joined(batches: list[Batch]) -> Batch:
    """One batch of all clips."""
    parts = zip(*((batch.clips, batch.labels, batch.cell_labels) for batch in batches), strict=True)
    return Batch(*(np.concatenate(part) for part in parts))


def normalise(clips: Clips) -> Tensor:
    """uint8 RGB [B, T, H, W, 3] -> float32 [B, 3, T, H, W] in the model's input range."""
    tensor = torch.from_numpy(np.ascontiguousarray(clips)).permute(0, 4, 1, 2, 3)
    return tensor.to(torch.float32).div_(255 * STD).sub_(MEAN / STD)


def _cell_labels(sample: Sample, cells: int) -> Labels:
    """One clip's part of `Batch.cell_labels`."""
    mask = sample.mask.astype(np.float32)
    share = np.stack([cv2.resize(frame, (cells, cells), interpolation=cv2.INTER_AREA) for frame in mask])
    cell_labels = np.full(share.shape, IGNORED, np.int64)
    cell_labels[share < 0.01] = STILL
    cell_labels[(share > 0.25) & sample.stroke[:, None, None]] = sample.label
    return cell_labels


def make_batch(seeds: range, size: int, cells: int = 7, plain: float = 0.0) -> Batch:
    """The clips of consecutive seeds; the share `plain` of them is easy. `cells`: rows of the network's feature map."""
    samples = [generate(seed, size=size, plain=index < plain * len(seeds)) for index, seed in enumerate(seeds)]
    return Batch(
        np.stack([sample.clip for sample in samples]),
        np.array([sample.label for sample in samples]),
        np.stack([_cell_labels(sample, cells) for sample in samples]),
    )


def _produce(queue: Queue[Batch], first: int, batch: int, size: int, cells: int, plain: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the trainer's to handle
    cv2.setNumThreads(1)
    trainer = multiprocessing.parent_process()
    for made in itertools.count():
        ease = max(0.0, 1 - made / plain) if plain else 0.0
        clips = make_batch(range(first, first + batch), size, cells, ease)
        first += batch
        while True:
            try:
                queue.put(clips, timeout=5)
                break
            except Full:  # also how a trainer that was killed is noticed
                if trainer is None or not trainer.is_alive():
                    queue.cancel_join_thread()
                    return


def fresh_batches(first: int, batch: int, size: int, cells: int, plain: int) -> Generator[Batch]:
    """Endless batches of seeds `first`, `first + 1`, ..., made ahead by one background process.

    The share of easy clips falls from 1 to 0 over the first `plain` batches.
    """
    context = multiprocessing.get_context("spawn")
    queue: Queue[Batch] = context.Queue(maxsize=4)
    process = context.Process(target=_produce, args=(queue, first, batch, size, cells, plain), daemon=True)
    process.start()
    try:
        while True:
            yield queue.get()
    finally:
        process.kill()
        process.join()


def flipped(rng: np.random.Generator, batch: Batch) -> Batch:
    """Every clip mirrored, transposed, reversed in time and with its colours swapped at random, its label adapted.

    Motion keeps its exact meaning under these, so each generated clip serves as sixteen.
    """
    clips, labels, cell_labels = (
        np.empty_like(batch.clips),
        np.empty_like(batch.labels),
        np.empty_like(batch.cell_labels),
    )
    for item in range(len(batch)):
        clip, cells_of_clip, label = batch.clips[item], batch.cell_labels[item], int(batch.labels[item])
        columns, rows, swap, back, colours = rng.random(5) < 0.5
        if columns:
            clip, cells_of_clip, label = clip[:, :, ::-1], cells_of_clip[:, :, ::-1], MIRROR_COLUMNS[label]
        if rows:
            clip, cells_of_clip, label = clip[:, ::-1], cells_of_clip[:, ::-1], MIRROR_ROWS[label]
        if swap:
            clip, cells_of_clip, label = clip.transpose(0, 2, 1, 3), cells_of_clip.transpose(0, 2, 1), TRANSPOSE[label]
        if back:
            clip, cells_of_clip, label = clip[::-1], cells_of_clip[::-1], REVERSE_TIME[label]
        if colours:
            clip = clip[..., rng.permutation(3)]
        clips[item], labels[item] = clip, label
        cell_labels[item] = np.where(cells_of_clip == batch.labels[item], label, cells_of_clip)
    return Batch(clips, labels, cell_labels)


class Replay:
    """Batches of `batch` clips: those just generated, filled up with earlier ones. The more wrong the last answer to an
    earlier clip was, the more often it is drawn: most clips are soon easy, and a second look at them teaches little.
    """

    def __init__(self, rng: np.random.Generator, source: Iterator[Batch], batch: int, memory: int = 1024) -> None:
        self._rng, self._source, self._batch, self._memory = rng, source, batch, memory
        self._kept: deque[Batch] = deque()  # of one clip each, oldest first
        self._doubt: deque[float] = deque()  # (1 - probability of the right class) squared, at the last answer
        self._drawn: list[int] = []

    def draw(self) -> Batch:
        """The next batch, flipped at random. Its answers must be given to `judge` before the next draw."""
        self._drawn = []
        while len(self._kept) < 2 * self._batch or not self._drawn:
            self._drawn = self._take(next(self._source))
        old = len(self._kept) - len(self._drawn)
        chances = np.array(list(self._doubt)[:old]) + 0.01
        again = self._rng.choice(old, self._batch - len(self._drawn), replace=False, p=chances / chances.sum())
        self._drawn += [int(index) for index in again]
        clips = [self._kept[index] for index in self._drawn]
        return flipped(self._rng, joined(clips))

    def _take(self, fresh: Batch) -> list[int]:
        for item in range(len(fresh)):
            self._kept.append(fresh[item])
            self._doubt.append(1.0)
        while len(self._kept) > self._memory:
            self._kept.popleft()
            self._doubt.popleft()
        return list(range(len(self._kept) - len(fresh), len(self._kept)))

    def judge(self, right: NDArray[np.floating]) -> None:
        """Report the probability [B] that the clips of the last draw were given for their right classes."""
        for index, probability in zip(self._drawn, right, strict=True):
            self._doubt[index] = float(1 - probability) ** 2
