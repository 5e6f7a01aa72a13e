"""How an object moves: a pose (x, y, log-scale, angle) over the time of one clip, per class.

Positions are shares of the frame (0..1, y down), angles radians (positive = clockwise as seen), time counts frames.
A clip shows one *stroke* of its class. Around it the object may rest, come from or leave to outside the frame, or wind
up and return against the stroke's direction, more slowly than the stroke: as hands before a webcam do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionlens.generated_clips import labels

Array = NDArray[np.float64]

_GRID = 8  # samples per frame of the tabulated path
_HEADING = {labels.LEFT: np.pi, labels.RIGHT: 0.0, labels.UP: -np.pi / 2, labels.DOWN: np.pi / 2}
_COUNTER_SPEED = 0.4  # wind-up and return run at most at this share of the stroke's speed


@dataclass(frozen=True, slots=True)
class Path:
    """A tabulated motion. `times` [N] in frames, `poses` [N, 4] = x, y, log-scale, angle; `stroke`: first and last
    time of the movement that makes the class."""

    times: Array
    poses: Array
    stroke: tuple[float, float]

    def at(self, time: NDArray[np.floating]) -> Array:
        """Poses [len(time), 4] by linear interpolation."""
        return np.stack([np.interp(time, self.times, column) for column in self.poses.T], axis=1)


def _ease(u: Array, softness: float) -> Array:
    u = np.clip(u, 0, 1)
    return (1 - softness) * u + softness * u * u * (3 - 2 * u)


def _timing(rng: np.random.Generator, frames: int, shortest: float, longest: float, plain: bool) -> tuple[float, float]:
    """Start and duration of a stroke that is wholly or mostly inside the clip."""
    shortest = max(shortest, 9.0) if plain else shortest
    duration = float(np.exp(rng.uniform(np.log(shortest), np.log(longest)))) * frames / 16
    slack = frames - 1 - duration
    if slack <= 0:
        return slack * rng.random(), duration
    outside = 0.3 * duration if rng.random() < 0.15 else 0.0
    return rng.uniform(-outside, slack + outside), duration


def _translation(
    rng: np.random.Generator, label: int, frames: int, now: Array, arm: float | None, plain: bool
) -> tuple[Array, Array, float, float]:
    start, duration = _timing(rng, frames, 1.7, 20.0, plain)
    length = min(rng.uniform(0.2, 1.1) if arm is None else rng.uniform(0.25, 0.95), 0.4 * duration)
    heading = _HEADING[label] + np.radians(rng.triangular(-28, 0, 28))
    delta = np.array((np.cos(heading), np.sin(heading))) * length
    middle = rng.uniform(0.32, 0.68, 2)
    phase = _ease((now - start) / duration, rng.random())
    poses = np.zeros((len(now), 4))
    poses[:, :2] = middle + (phase[:, None] - 0.5) * delta
    # A bulge across the heading (zero at both ends) and a lean make the straight line the arc of an arm.
    bulge = rng.normal(0, 0.12) * length
    poses[:, :2] += np.outer(4 * phase * (1 - phase) - 0.5, (-delta[1], delta[0])) / max(length, 1e-9) * bulge
    poses[:, 3] = (phase - 0.5) * rng.normal(0, 0.35)
    if arm is not None and abs(np.sin(arm - heading - np.pi / 2)) < 0.5:
        # The stroke is across the arm: it swings about the elbow, so the hand leans the way it goes.
        across = np.sign(np.cos(arm) * delta[0] + np.sin(arm) * delta[1])
        poses[:, 3] += (phase - 0.5) * across * rng.uniform(0, 1.3) * min(1.0, length / 0.5)
    poses[:, 2] += (phase - 0.5) * rng.normal(0, 0.08)
    return poses, delta, start, duration


def _scaling(rng: np.random.Generator, label: int, frames: int, now: Array, plain: bool) -> tuple[Array, float, float]:
    start, duration = _timing(rng, frames, 3.0, 20.0, plain)
    sign = 1.0 if label == labels.APPROACH else -1.0
    growth = min(np.log(rng.uniform(1.5, 3.6)), 0.35 * duration)
    phase = _ease((now - start) / duration, rng.random())
    poses = np.zeros((len(now), 4))
    poses[:, :2] = rng.uniform(0.3, 0.7, 2) + np.outer(phase - 0.5, rng.normal(0, 0.04, 2))
    poses[:, 2] = sign * growth * (phase - 0.5)
    poses[:, 3] = (phase - 0.5) * rng.normal(0, 0.12)
    return poses, start, duration


def _rotation(
    rng: np.random.Generator, label: int, frames: int, now: Array, arm: bool, plain: bool
) -> tuple[Array, float, float]:
    start, duration = _timing(rng, frames, 4.0, 20.0, plain)
    sign = 1.0 if label == labels.CLOCKWISE else -1.0
    orbit = rng.random() < (0.5 if arm else 0.3)
    span = rng.uniform(200, 720) if orbit else rng.uniform(55, 120) if arm else rng.uniform(75, 540)
    rotation = np.radians(min(span, (50 if orbit else 38) * duration))
    phase = _ease((now - start) / duration, rng.random() * 0.6)
    angle = sign * rotation * (phase - rng.random())
    poses = np.zeros((len(now), 4))
    poses[:, :2] = rng.uniform(0.35, 0.65, 2) + np.outer(phase - 0.5, rng.normal(0, 0.03, 2))
    if orbit:
        radius = rng.uniform(0.09, 0.3)
        begin = rng.uniform(0, 2 * np.pi)
        poses[:, 0] += radius * np.cos(begin + angle)
        poses[:, 1] += radius * rng.uniform(0.7, 1.3) * np.sin(begin + angle)
    if not orbit or (not arm and rng.random() < 0.4):
        poses[:, 3] = angle
    return poses, start, duration


def _shaking(rng: np.random.Generator, frames: int, now: Array, arm: bool) -> tuple[Array, float, float]:
    period = float(np.exp(rng.uniform(np.log(2.8), np.log(8.0)))) * frames / 16
    duration = min(max(rng.uniform(1.75, 7) * period, 5.0), frames + 4.0)
    start = rng.uniform(min(0.0, frames - 1 - duration), max(0.0, frames - 1 - duration))
    envelope = ((now > start) & (now < start + duration)).astype(np.float64)
    soft = int(_GRID * rng.uniform(0.5, 1.5))
    envelope = np.convolve(np.pad(envelope, soft, mode="edge"), np.ones(2 * soft + 1) / (2 * soft + 1), mode="valid")
    wave = np.sin(2 * np.pi * (now - start) / period + rng.uniform(0, 2 * np.pi)) * envelope
    poses = np.zeros((len(now), 4))
    poses[:, :2] = rng.uniform(0.25, 0.75, 2)
    twist = rng.random() < 0.25
    axis = rng.normal(0, 0.25) if rng.random() < 0.65 else rng.uniform(0, np.pi)
    amplitude = 0.0 if twist else rng.uniform(0.045, 0.22)
    poses[:, :2] += np.outer(wave, (np.cos(axis), np.sin(axis))) * amplitude
    if twist:
        poses[:, 3] = wave * rng.uniform(0.35, 0.8)
    elif arm:
        poses[:, 3] = wave * rng.uniform(0, 2.0) * amplitude
    return poses, start, duration


def _approach_and_leave(
    rng: np.random.Generator, now: Array, start: float, duration: float, delta: Array, away: Array, frames: int
) -> Array:
    """Offsets [N, 2] that bring the object in before the stroke and take it away after it. `away`: where outside is."""
    offsets = np.zeros((len(now), 2))
    length = float(np.hypot(*delta))
    unit = delta / length if length else np.zeros(2)
    both = rng.random() < 0.35
    for after in (False, True):
        room = (frames - 1 - start - duration) if after else start
        kind = "away" if both else rng.choice(("rest", "away", "counter"), p=(0.5, 0.37, 0.13))
        if room < 1.2 or kind == "rest":
            continue
        took = rng.uniform(1.0, min(5.0, room))
        pause = rng.uniform(0, room - took) * rng.random()
        # Seen from the stroke's end the wind-up comes from further along its heading; the return goes back along it.
        offset = away.copy() if kind == "away" else unit * (-1 if after else 1) * rng.uniform(0.2, 0.8) * length
        if length:
            along = float(offset @ unit) * (-1 if after else 1)  # > 0: this part runs against the stroke
            limit = min(_COUNTER_SPEED * length / duration * took, 0.65 * length)
            across = offset - (offset @ unit) * unit
            if not both:
                across *= min(1.0, 0.65 * length / max(float(np.hypot(*across)), 1e-9))
            offset = across + unit * (-1 if after else 1) * min(along, limit)
        elif duration < 5:
            continue
        softness = rng.random()
        if after:
            progress = _ease((now - start - duration - pause) / took, softness)
        else:
            progress = 1 - _ease((now - start + pause + took) / took, softness)
        offsets += progress[:, None] * offset
    return offsets


def make_path(rng: np.random.Generator, label: int, frames: int, arm: float | None, plain: bool = False) -> Path:
    """A random motion of class `label` over `frames` frames.

    `arm`: the angle by which a trailing forearm is turned from pointing down (clockwise), None for a free object.
    `plain`: a stroke of at least half the clip, with nothing before or after it.
    """
    now = np.linspace(-1.0, frames, (frames + 1) * _GRID + 1)
    start, duration, delta = 0.0, 0.0, np.zeros(2)
    if label in _HEADING:
        poses, delta, start, duration = _translation(rng, label, frames, now, arm, plain)
    elif label in (labels.APPROACH, labels.RECEDE):
        poses, start, duration = _scaling(rng, label, frames, now, plain)
    elif label in (labels.CLOCKWISE, labels.COUNTER):
        poses, start, duration = _rotation(rng, label, frames, now, arm is not None, plain)
    elif label == labels.SHAKE:
        poses, start, duration = _shaking(rng, frames, now, arm is not None)
    else:
        poses = np.zeros((len(now), 4))
        poses[:, :2] = rng.uniform(0.1, 0.9, 2)
    if not plain and (label in _HEADING or (label != labels.STILL and rng.random() < 0.35)):
        outwards = rng.uniform(0, 2 * np.pi) if arm is None else arm + np.pi / 2 + rng.normal(0, 0.3)
        away = np.array((np.cos(outwards), np.sin(outwards))) * rng.uniform(0.4, 1.0)
        poses[:, :2] += _approach_and_leave(rng, now, start, duration, delta, away, frames)
    if rng.random() < 0.6:  # no hand is ever quite at rest
        sway = np.sin(np.outer(now, rng.uniform(0.1, 0.5, 4)) + rng.uniform(0, 2 * np.pi, 4))
        poses += sway * rng.uniform(0, 1) * (0.007, 0.007, 0.01, 0.02)
    return Path(now, poses, (start, start + duration))
