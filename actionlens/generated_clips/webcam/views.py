"""Rooms with people in them, seen by a camera that stands, is held, or is moved."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.generated_clips.scenes import Frame, paste, warp
from actionlens.generated_clips.textures import add_clutter, random_colour, texture
from actionlens.generated_clips.webcam.people import body

Matrices = NDArray[np.float64]


class Camera(Enum):
    """On a desk, held in a hand, or panned, tilted, zoomed, rolled or shaken on purpose."""

    STANDS = 0
    HELD = 1
    MOVED = 2


class People(Enum):
    """Nobody moves more than a breath and a small nod; they talk and lean; they move about."""

    CALM = 0
    USUAL = 1
    BUSY = 2


def smooth(rng: np.random.Generator, frames: int, slowest: float, fastest: float, columns: int) -> Matrices:
    """Smooth random curves [T, columns] with values of about -1..1; periods between `fastest` and `slowest` clips."""
    times = np.arange(frames) / max(frames, 2)
    total = np.zeros((frames, columns))
    for _ in range(3):
        period = np.exp(rng.uniform(np.log(fastest), np.log(slowest), columns))
        total += np.sin(2 * np.pi * (times[:, None] / period + rng.random(columns))) * rng.uniform(0.2, 0.6, columns)
    return total


def similarity(zoom: Matrices, angle: Matrices, shift: Matrices, pivot: tuple[float, float], aspect: float) -> Matrices:
    """Per frame: scale and turn about `pivot` in the unsquashed image, then move by `shift`; [T, 3, 3] on pixels.

    zoom, angle: [T]. shift: [T, 2] in pixels. aspect: width over height of the camera image, squashed into a square.
    """
    matrices = np.tile(np.eye(3), (len(zoom), 1, 1))
    cosine, sine = np.cos(angle) * zoom, np.sin(angle) * zoom
    matrices[:, 0, 0], matrices[:, 1, 1] = cosine, cosine
    matrices[:, 0, 1], matrices[:, 1, 0] = -sine / aspect, sine * aspect
    centre = np.array(pivot)
    matrices[:, :2, 2] = centre - matrices[:, :2, :2] @ centre + shift
    return matrices


@dataclass(frozen=True, slots=True)
class Actor:
    """An image that moves: uint8 RGB or premultiplied RGBA; `matrices` [T, 3, 3] from image to frame pixels, without
    the camera. `alive`: whether it counts as what the clip shows."""

    image: NDArray[np.uint8]
    matrices: Matrices
    alive: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What the camera sees without the mover; as `scenes.Scene`. `actors` from back to front; `motion` [T, 3, 3], the
    camera's own, and `camera` [T, 2], the shift that it gives the frame's centre, in shares of the frame."""

    actors: tuple[Actor, ...]
    motion: Matrices
    camera: NDArray[np.float64]
    occluder: NDArray[np.uint8] | None
    shutter: float

    def draw(self, time: int, size: int) -> Frame:
        """Frame `time`, uint8 RGB [size, size, 3], blurred where the camera moves fast."""
        after = min(time + 1, len(self.motion) - 1)
        travel = np.abs(self.motion[after] - self.motion[time])[:2] @ (size, size, 1)
        steps = 3 if travel.max() * self.shutter > 2 else 1
        if steps == 1:
            return self._at(time, 0.0, size)
        total = np.zeros((size, size, 3), np.float32)
        for step in range(steps):
            cv2.accumulate(self._at(time, self.shutter * step / steps, size), total)
        return np.asarray(cv2.convertScaleAbs(total, alpha=1 / steps), dtype=np.uint8)

    def _at(self, time: int, share: float, size: int) -> Frame:
        first, *others = self.actors
        frame = warp(first.image, self._matrix(first, time, share), size, cv2.BORDER_REFLECT_101)
        for actor in others:
            frame = paste(frame, warp(actor.image, self._matrix(actor, time, share), size))
        return frame

    def _matrix(self, actor: Actor, time: int, share: float) -> Matrices:
        after = min(time + 1, len(self.motion) - 1)
        motion, own = (m[time] + share * (m[after] - m[time]) for m in (self.motion, actor.matrices))
        return np.asarray((motion @ own)[:2])

    def alive(self, time: int, size: int) -> NDArray[np.bool_]:
        """Where the living actors are seen, [size, size]."""
        seen = np.zeros((size, size), np.bool_)
        for actor in self.actors[1:]:
            covers = warp(actor.image, self._matrix(actor, time, 0.0), size)[..., 3] > 80
            seen = (seen | covers) if actor.alive else (seen & ~covers)
        return seen


def _room(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """A wall with things on it, or blurred depths of natural statistics; often a window or a lamp."""
    if rng.random() < 0.5:
        image = texture(rng, side, side, clutter=int(rng.integers(2, 24)))
    else:
        total, amplitude = np.zeros((side, side, 3), np.float32), 1.0
        for cells in (3, 6, 12, 24, 48):
            layer = rng.normal(0, amplitude, (cells, cells, 3)).astype(np.float32)
            layer = 0.3 * layer + 0.7 * layer.mean(axis=2, keepdims=True)
            total += np.asarray(cv2.resize(layer, (side, side), interpolation=cv2.INTER_CUBIC))
            amplitude *= rng.uniform(0.4, 0.75)
        base = rng.uniform(40, 200) + 0.4 * (random_colour(rng) - 128)
        image = np.clip(base + total * rng.uniform(10, 60), 0, 255).astype(np.uint8)
        if rng.random() < 0.5:
            add_clutter(rng, image, int(rng.integers(1, 8)))
    if rng.random() < 0.4:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 3.0) * side / 200), dtype=np.uint8)
    if rng.random() < 0.3:
        x, y = rng.integers(0, side, 2)
        w, h = rng.integers(side // 10, side // 3, 2)
        cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), (245, 250, 255), -1)
        if rng.random() < 0.6:
            cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), (60, 60, 60), max(1, side // 80))
    return image


def _person(
    rng: np.random.Generator, frames: int, size: int, aspect: float, people: People, near: bool
) -> tuple[Actor, Actor]:
    height = size * (rng.uniform(0.22, 0.5) if near else rng.uniform(0.08, 0.2))
    side = int(height * 5)
    drawn = body(rng, side, height)
    place = np.array((rng.uniform(0.25, 0.75) if near else rng.uniform(0.05, 0.95), rng.uniform(0.25, 0.5))) * size
    to_frame = np.eye(3)
    to_frame[0, 0] = 1 / aspect
    to_frame[:2, 2] = place - to_frame[:2, :2] @ np.array(drawn.centre)
    amount = {People.CALM: rng.uniform(0, 0.25), People.USUAL: rng.uniform(0.1, 1.0), People.BUSY: 0.0}[people]
    slow = smooth(rng, frames, 3.0, 0.9, 5) if people is not People.BUSY else smooth(rng, frames, 1.2, 0.3, 5)
    if people is People.BUSY:
        amount = rng.uniform(1.6, 4.0)
    amount *= 1.0 if near else 0.6
    lean = similarity(
        np.exp(0.02 * amount * slow[:, 0]),
        0.03 * amount * slow[:, 1],
        0.022 * amount * size * slow[:, 2:4],
        (side / 2, side),
        1.0,
    )
    quick = smooth(rng, frames, 1.5, 0.25, 3)
    nod = similarity(
        np.ones(frames), 0.07 * amount * quick[:, 0], 0.02 * amount * height * quick[:, 1:], drawn.neck, 1.0
    )
    alive = people is People.BUSY
    return Actor(drawn.torso, to_frame @ lean, alive), Actor(drawn.head, to_frame @ lean @ nod, alive)


def _motion(rng: np.random.Generator, frames: int, size: int, aspect: float, camera: Camera) -> Matrices:
    zoom, angle, shift = np.ones(frames), np.zeros(frames), np.zeros((frames, 2))
    if camera is Camera.HELD:
        drift = smooth(rng, frames, 2.5, 0.6, 4)
        strength = rng.uniform(0.2, 1.0)
        zoom, angle = np.exp(0.015 * strength * drift[:, 0]), 0.02 * strength * drift[:, 1]
        shift = 0.02 * strength * drift[:, 2:] + rng.normal(0, 0.003 * rng.random(), (frames, 2))
    elif camera is Camera.MOVED:
        zoom, angle, shift = _moved(rng, frames)
    return similarity(zoom, angle, shift * size, (size / 2, size / 2), aspect)


def _moved(rng: np.random.Generator, frames: int) -> tuple[Matrices, Matrices, Matrices]:
    """One or two of: pan or tilt, zoom, roll, a search about, a jerky hand."""
    zoom, angle, shift = np.zeros(frames), np.zeros(frames), np.zeros((frames, 2))
    times = np.linspace(0, 1, frames)
    begin, end = np.sort(rng.uniform(-0.2, 1.2, 2)) if rng.random() < 0.5 else (0.0, 1.0)
    ramp = np.clip((times - begin) / max(end - begin, 0.25), 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    for kind in rng.choice(5, int(rng.integers(1, 3)), replace=False, p=(0.34, 0.14, 0.12, 0.25, 0.15)):
        if kind == 0:
            heading = rng.uniform(0, 2 * np.pi) if rng.random() < 0.4 else rng.choice(4) * np.pi / 2
            shift += np.outer(ramp, (np.cos(heading), np.sin(heading))) * rng.uniform(0.3, 2.0)
        elif kind == 1:
            zoom += ramp * rng.choice((-1, 1)) * rng.uniform(0.3, 1.0)
        elif kind == 2:
            angle += ramp * rng.choice((-1, 1)) * rng.uniform(0.3, 1.5)
        elif kind == 3:
            shift += smooth(rng, frames, 1.5, 0.3, 2) * rng.uniform(0.06, 0.3)
        else:
            jerks = rng.normal(0, rng.uniform(0.01, 0.05), (frames, 2))
            shift += jerks + np.cumsum(jerks, axis=0) * 0.3
            angle += rng.normal(0, 0.02, frames)
    return np.exp(zoom - zoom.mean()), angle, shift - shift.mean(axis=0)


def make_view(
    rng: np.random.Generator,
    frames: int,
    size: int,
    aspect: float,
    camera: Camera,
    people: People,
    extra: tuple[Actor, ...] = (),
    occluder: NDArray[np.uint8] | None = None,
) -> View:
    """A random room. `extra`: actors in front of the people."""
    side = int(size * 1.4)
    back = np.eye(3)
    back[:2, 2] = (size - side) / 2
    actors = [Actor(_room(rng, side), np.tile(back, (frames, 1, 1)), alive=False)]
    if rng.random() < 0.25 or (people is People.BUSY and rng.random() < 0.5):
        for _ in range(int(rng.integers(1, 3))):
            actors += _person(rng, frames, size, aspect, people, near=False)
    if people is People.BUSY or rng.random() < 0.8:
        actors += _person(rng, frames, size, aspect, people, near=True)
    motion = _motion(rng, frames, size, aspect, camera)
    centre = motion @ np.array((size / 2, size / 2, 1.0))
    shift = (centre[:, :2] - size / 2) / size
    return View((*actors, *extra), motion, shift, occluder, float(rng.uniform(0.2, 0.9)))
