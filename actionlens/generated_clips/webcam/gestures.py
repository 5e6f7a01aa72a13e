"""Paths of what no single class names: there and back, two strokes one after the other, scribbles, a hand in place.

Poses as in `actionlens.generated_clips.paths`: x, y, log-scale, angle over time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actionlens.generated_clips.paths import Path
from actionlens.generated_clips.webcam.views import smooth

Array = NDArray[np.float64]
_GRID = 8


def _times(frames: int) -> Array:
    return np.linspace(-1.0, frames, (frames + 1) * _GRID + 1)


def _ramp(now: Array, start: float, took: float) -> Array:
    share = np.clip((now - start) / max(took, 1e-3), 0, 1)
    return np.asarray(share * share * (3 - 2 * share))


def _poses(rng: np.random.Generator, now: Array) -> Array:
    poses = np.zeros((len(now), 4))
    poses[:, :2] = rng.uniform(0.3, 0.7, 2)
    sway = np.sin(np.outer(now, rng.uniform(0.1, 0.6, 4)) + rng.uniform(0, 2 * np.pi, 4))
    return poses + sway * rng.uniform(0, 1) * (0.01, 0.01, 0.02, 0.04)


def there_and_back(rng: np.random.Generator, frames: int, arm: float | None) -> Path:
    """Comes in, is held for a while, and goes back as fast as it came: a stop sign, a raised thumb.

    It comes the way of its arm, or from any side without one.
    """
    now = _times(frames)
    poses = _poses(rng, now)
    unit = frames / 16
    came, went = rng.uniform(1.2, 4.0, 2) * unit
    held = rng.uniform(1.0, 9.0) * unit
    start = rng.uniform(-0.5, max(0.0, frames - 1 - came - held - went) + 0.5)
    outwards = (rng.uniform(0, 2 * np.pi) if arm is None else arm + np.pi / 2) + rng.normal(0, 0.35)
    away = np.array((np.cos(outwards), np.sin(outwards))) * rng.uniform(0.4, 0.95)
    back = away if rng.random() < 0.8 else away * rng.uniform(0.6, 1.0) + rng.normal(0, 0.12, 2)
    poses[:, :2] += np.outer(1 - _ramp(now, start, came), away) + np.outer(_ramp(now, start + came + held, went), back)
    turn = rng.normal(0, 0.5)
    poses[:, 3] += turn * (1 - _ramp(now, start, came)) + turn * _ramp(now, start + came + held, went)
    return Path(now, poses, (start, start + came + held + went))


def to_and_fro(rng: np.random.Generator, frames: int) -> Path:
    """One stroke within the picture and the same back: once is no shaking."""
    now = _times(frames)
    poses = _poses(rng, now)
    duration = rng.uniform(5.0, 15.0) * frames / 16
    start = rng.uniform(0, max(0.0, frames - 1 - duration))
    middle = duration * rng.uniform(0.35, 0.5)
    kind = rng.random()
    there = _ramp(now, start, middle) - _ramp(now, start + duration - middle, middle) - 0.5
    if kind < 0.6:
        heading = rng.uniform(0, 2 * np.pi)
        poses[:, :2] += np.outer(there, (np.cos(heading), np.sin(heading))) * rng.uniform(0.25, 0.7)
    elif kind < 0.8:
        poses[:, 2] += there * rng.choice((-1, 1)) * rng.uniform(0.5, 1.2)
    else:
        poses[:, 3] += there * rng.choice((-1, 1)) * rng.uniform(1.0, 2.6)
    return Path(now, poses, (start, start + duration))


def two_strokes(rng: np.random.Generator, frames: int) -> Path:
    """Two or three straight strokes of one size in directions far apart, one after the other."""
    now = _times(frames)
    poses = _poses(rng, now)
    count = int(rng.integers(2, 4))
    took = rng.uniform(2.5, 14.0 / count) * frames / 16
    pause = rng.uniform(0, 1.0)
    start = rng.uniform(0, max(0.0, frames - 1 - count * (took + pause)))
    heading, length, total = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.6), np.zeros((len(now), 2))
    for stroke in range(count):
        unit = np.array((np.cos(heading), np.sin(heading)))
        total += np.outer(_ramp(now, start + stroke * (took + pause), took), unit) * length * rng.uniform(0.8, 1.2)
        heading += rng.choice((-1, 1)) * rng.uniform(1.2, 2.6)
    poses[:, :2] += total - total.mean(axis=0)
    return Path(now, poses, (start, start + count * (took + pause)))


def scribble(rng: np.random.Generator, frames: int) -> Path:
    """A hand that goes about without a plan."""
    now = _times(frames)
    poses = _poses(rng, now)
    curve = smooth(rng, len(now), 0.9, 0.2, 4)
    poses += curve * (0.24, 0.24, 0.12, 0.25) * rng.uniform(0.6, 1.3)
    return Path(now, poses, (0.0, frames - 1.0))


def in_place(rng: np.random.Generator, frames: int) -> Path:
    """A hand that stays where it is while its fingers do something."""
    now = _times(frames)
    poses = _poses(rng, now)
    poses += smooth(rng, len(now), 2.0, 0.4, 4) * (0.015, 0.015, 0.03, 0.08) * rng.random()
    return Path(now, poses, (0.0, frames - 1.0))


def rolling(rng: np.random.Generator, frames: int) -> tuple[Path, Path]:
    """Two hands that roll about each other: seen from the front, one goes up and comes nearer while the other sinks."""
    now = _times(frames)
    period = rng.uniform(3.0, 7.0) * frames / 16
    phase = 2 * np.pi * now / period * rng.choice((-1, 1)) + rng.uniform(0, 2 * np.pi)
    middle, radius, apart = rng.uniform(0.35, 0.65, 2), rng.uniform(0.06, 0.16), rng.uniform(0.0, 0.12)
    start, took = rng.uniform(-2.0, 3.0), rng.uniform(7.0, 18.0)
    active = _ramp(now, start, 1.5) * (1 - _ramp(now, start + took, 1.5))
    paths = []
    for way in (1, -1):
        poses = np.zeros((len(now), 4))
        poses[:, 0] = middle[0] + way * apart + 0.2 * radius * way * np.cos(phase) * active
        poses[:, 1] = middle[1] + radius * way * np.sin(phase) * active
        poses[:, 2] = 0.15 * way * np.cos(phase) * active
        poses[:, 3] = way * rng.uniform(0.8, 1.6) + rng.normal(0, 0.1)
        paths.append(Path(now, poses, (max(0.0, start), min(frames - 1.0, start + took))))
    return paths[0], paths[1]
