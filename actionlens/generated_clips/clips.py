"""Procedural clips: one seed, one clip, its class and the exact pixels that move."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from actionlens.generated_clips import cameras, labels
from actionlens.generated_clips.paths import Path, make_path
from actionlens.generated_clips.renders import Shot, render
from actionlens.generated_clips.scenes import make_scene
from actionlens.generated_clips.shapes import ARM_ANGLES, Sprite, blob, hand

#: Seeds below this train the model; evaluation uses seeds from here on.
HELD_OUT_SEED = 2**40


@dataclass(frozen=True, slots=True)
class Sample:
    """`clip` uint8 RGB [T, H, W, 3]; `mask` bool [T, H, W], the visible pixels of the mover in frames in which it
    moves; `stroke` bool [T], the frames of the movement that makes the class, not those of coming or leaving;
    `label` index into `labels.CLASSES`."""

    clip: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    stroke: NDArray[np.bool_]
    label: int


def generate(seed: int, label: int | None = None, frames: int = 16, size: int = 112, *, plain: bool = False) -> Sample:
    """The clip of `seed`: same arguments, same bytes. `label` None draws one of the ten classes.

    `plain` gives an easy clip for the first training steps: a large object, moving most of the time, in a still scene.
    """
    rng = np.random.default_rng(seed)
    drawn = int(rng.integers(len(labels.CLASSES)))
    label = drawn if label is None else label
    for _ in range(6):
        sample = _attempt(rng, label, frames, size, plain)
        if sample is not None:
            return sample
    raise RuntimeError(f"seed {seed} draws no clip whose stroke is visible")


def _attempt(rng: np.random.Generator, label: int, frames: int, size: int, plain: bool) -> Sample | None:
    """One clip, or None if too little of its stroke is seen (outside the frame, hidden, of the background's colour)
    for its label to be true of the frames."""
    aspect = float(rng.choice((4 / 3, 16 / 9, 1.0, 0.75), p=(0.45, 0.35, 0.1, 0.1)))
    scene = make_scene(rng, frames, size, aspect, calm=label == labels.STILL, plain=plain)
    sprite, path = mover(rng, label, frames, size, aspect, plain)
    index = np.arange(frames) if plain else cameras.repeats(rng, frames)
    shutter = rng.uniform(0.1, 0.9) if rng.random() < 0.75 else 0.0
    shot = Shot(scene, sprite, path, aspect, shutter, flutter=rng.uniform(0, 0.6))
    if label == labels.STILL:
        shot = replace(shot, sprite=None if rng.random() < 0.2 else sprite)
    drawn = render(shot, index, size)
    mask = drawn.mask & (label != labels.STILL)
    lasts = (index >= path.stroke[0] - 0.5) & (index <= path.stroke[1] + 0.5)
    if label != labels.STILL and (drawn.seen & lasts).sum() < max(min(2, frames), 0.6 * lasts.sum()):
        return None
    filmed = drawn.clip if plain else cameras.record(rng, drawn.clip, mask.mean(axis=(1, 2)))
    return Sample(filmed, mask, lasts & mask.any(axis=(1, 2)), label)


def mover(
    rng: np.random.Generator, label: int, frames: int, size: int, aspect: float, plain: bool
) -> tuple[Sprite, Path]:
    """A random object that performs the class, and its path (the forearm's direction is part of the path's angle)."""
    is_hand = rng.random() < 0.65
    spins = label in (labels.CLOCKWISE, labels.COUNTER)
    has_arm = is_hand and rng.random() < (0.45 if spins else 0.85)
    side = rng.choice(list(ARM_ANGLES), p=(0.6, 0.17, 0.06, 0.17))
    arm = ARM_ANGLES[str(side)] + rng.normal(0, 0.3) if has_arm else None
    path = make_path(rng, label, frames, arm, plain)
    smallest = 0.35 if plain else 0.24 if label in (labels.LEFT, labels.RIGHT, labels.UP, labels.DOWN) else 0.28
    extent = float(np.exp(rng.uniform(np.log(smallest), np.log(0.65))))
    path.poses[:, 2] += np.log(extent)
    path.poses[:, 3] += arm if arm is not None else rng.uniform(0, 2 * np.pi)
    largest = min(float(np.exp(path.poses[:, 2].max())), 1.4)
    diameter = max(8, int(largest * size))
    if is_hand:
        reach = diameter / float(np.exp(path.poses[:, 2].min())) * 1.6 * max(aspect, 1.0) if has_arm else 0.0
        return hand(rng, diameter, min(reach, 6.0 * diameter + size)), path
    return blob(rng, diameter), path
