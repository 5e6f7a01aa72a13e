"""Training batches: clips from a background process, flipped in space and time, as normalised tensors."""

from __future__ import annotations

import itertools
import multiprocessing
import signal
from collections.abc import Iterator
from multiprocessing.queues import Queue
from queue import Full

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.clips import generate
from training.labels import MIRROR_COLUMNS, MIRROR_ROWS, REVERSE_TIME, TRANSPOSE

#: Input normalisation of the model, per channel: (value / 255 - MEAN) / STD.
MEAN, STD = 0.5, 0.25

Clips = NDArray[np.uint8]
Labels = NDArray[np.int64]


def normalise(clips: Clips) -> Tensor:
    """uint8 RGB [B, T, H, W, 3] -> float32 [B, 3, T, H, W] in the model's input range."""
    tensor = torch.from_numpy(np.ascontiguousarray(clips)).permute(0, 4, 1, 2, 3)
    return tensor.to(torch.float32).div_(255 * STD).sub_(MEAN / STD)


def make_batch(seeds: range, size: int, plain: float = 0.0) -> tuple[Clips, Labels]:
    """The clips of consecutive seeds, uint8 [B, 16, size, size, 3], and their labels int64 [B]; the share `plain` of
    them is easy."""
    samples = [generate(seed, size=size, plain=index < plain * len(seeds)) for index, seed in enumerate(seeds)]
    return np.stack([sample.clip for sample in samples]), np.array([sample.label for sample in samples])


def _produce(queue: Queue[tuple[Clips, Labels]], first: int, batch: int, size: int, plain: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the trainer's to handle
    cv2.setNumThreads(1)
    trainer = multiprocessing.parent_process()
    for made in itertools.count():
        ease = max(0.0, 1 - made / plain) if plain else 0.0
        clips = make_batch(range(first, first + batch), size, ease)
        first += batch
        while True:
            try:
                queue.put(clips, timeout=5)
                break
            except Full:  # also how a trainer that was killed is noticed
                if trainer is None or not trainer.is_alive():
                    return


def fresh_batches(first: int, batch: int, size: int, plain: int) -> Iterator[tuple[Clips, Labels]]:
    """Endless batches of seeds `first`, `first + 1`, ..., made ahead by one background process.

    The share of easy clips falls from 1 to 0 over the first `plain` batches.
    """
    context = multiprocessing.get_context("spawn")
    queue: Queue[tuple[Clips, Labels]] = context.Queue(maxsize=4)
    process = context.Process(target=_produce, args=(queue, first, batch, size, plain), daemon=True)
    process.start()
    try:
        while True:
            yield queue.get()
    finally:
        process.kill()
        process.join()


def flipped(rng: np.random.Generator, clips: Clips, labels: Labels) -> tuple[Clips, Labels]:
    """Every clip mirrored, transposed, reversed in time and with its colours swapped at random, its label adapted.

    Motion keeps its exact meaning under these, so each generated clip serves as sixteen.
    """
    turned, named = np.empty_like(clips), np.empty_like(labels)
    for item, (clip, label) in enumerate(zip(clips, labels, strict=True)):
        columns, rows, swap, back, colours = rng.random(5) < 0.5
        if columns:
            clip, label = clip[:, :, ::-1], MIRROR_COLUMNS[label]
        if rows:
            clip, label = clip[:, ::-1], MIRROR_ROWS[label]
        if swap:
            clip, label = clip.transpose(0, 2, 1, 3), TRANSPOSE[label]
        if back:
            clip, label = clip[::-1], REVERSE_TIME[label]
        if colours:
            clip = clip[..., rng.permutation(3)]
        turned[item], named[item] = clip, label
    return turned, named


def replayed(
    rng: np.random.Generator, source: Iterator[tuple[Clips, Labels]], uses: int, memory: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches mixed from the last `memory` generated ones, so that each clip is used about `uses` times, never twice alike."""
    kept: list[tuple[Clips, Labels]] = []
    while True:
        kept.append(next(source))
        if len(kept) < memory // 2:
            continue
        kept = kept[-memory:]
        for _ in range(uses):
            which = rng.integers(0, len(kept), len(kept[0][1]))
            where = rng.permutation(len(which))
            clips = np.stack([kept[batch][0][item] for batch, item in zip(which, where, strict=True)])
            labels = np.array([kept[batch][1][item] for batch, item in zip(which, where, strict=True)])
            clips, labels = flipped(rng, clips, labels)
            yield normalise(clips), torch.from_numpy(labels)
