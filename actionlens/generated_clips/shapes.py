"""Things that can move: hands with a forearm, polygons, blobs, bars. Each is drawn once and then warped into frames."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.generated_clips.textures import Image, noise_texture, random_colour, shading, skin_colour, texture

#: Where a forearm comes from: the angle (radians, image coordinates) by which "fingers up, arm down" is turned.
ARM_ANGLES = {"bottom": 0.0, "left": np.pi / 2, "top": np.pi, "right": -np.pi / 2}

_PALM = ((-0.45, -0.4), (0.42, -0.45), (0.5, 0.1), (0.3, 0.65), (-0.3, 0.65), (-0.5, 0.1))
_SHOULDERS = np.array(
    ((-0.28, 1.6), (-0.26, 0.3), (-0.18, 0.2), (-0.05, 0.14), (0.05, 0.14), (0.18, 0.2), (0.26, 0.3), (0.28, 1.6))
)


@dataclass(frozen=True, slots=True)
class Sprite:
    """A drawn object. `views`: premultiplied uint8 RGBA [h, w, 4], one per articulation; `origin`: its centre
    (column, row) in a view; `diameter`: its nominal size in view pixels; `arm`: whether a forearm trails it."""

    views: tuple[NDArray[np.uint8], ...]
    origin: tuple[float, float]
    diameter: float
    arm: bool


def _premultiply(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scaled = (colour.astype(np.uint16) * alpha[..., None] // 255).astype(np.uint8)
    return np.dstack((scaled, alpha))


def _surface(rng: np.random.Generator, height: int, width: int, base: NDArray[np.float64]) -> Image:
    """A surface of one colour with light and shade and a little texture on it."""
    grain = noise_texture(rng, height, width).astype(np.float32)
    grain -= grain.mean(axis=(0, 1))
    tone = (base + rng.uniform(0, 0.35) * grain) * shading(rng, height, width, rng.uniform(0.03, 0.2))
    return np.clip(tone, 0, 255).astype(np.uint8)


def blob(rng: np.random.Generator, diameter: int) -> Sprite:
    """A textured polygon, bar or smooth blob about `diameter` pixels wide, without any rotational symmetry."""
    side = int(diameter * 1.3) + 6
    centre = side / 2
    corners = int(rng.integers(3, 9))
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(-0.35, 0.35, corners)
    radii = diameter / 2 * rng.uniform(0.45, 1.0, (corners, 1))
    points = np.stack((np.cos(angles), np.sin(angles) * rng.uniform(0.35, 0.85)), axis=1) * radii
    alpha = np.zeros((side, side), np.uint8)
    cv2.fillPoly(alpha, [np.round((points + centre) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    if rng.random() < 0.4:
        softness = diameter * rng.uniform(0.05, 0.2)
        alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), softness), dtype=np.uint8)
        alpha = np.clip((alpha.astype(np.float32) - 90) * 3, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        colour = texture(rng, side, side, clutter=5)
    else:
        colour = _surface(rng, side, side, random_colour(rng))
        cv2.circle(colour, (int(centre + diameter * 0.2), int(centre)), max(1, diameter // 8), (20, 20, 20), -1)
    return Sprite((_premultiply(colour, alpha),), (centre, centre), float(diameter), arm=False)


def hand(rng: np.random.Generator, diameter: int, arm_length: float) -> Sprite:
    """A hand, fingers up, `diameter` pixels from wrist to finger tips, on a forearm of `arm_length` pixels (0 = none).

    Three views open, close or spread the fingers a little.
    """
    unit = diameter / 2.1
    width, top, bottom = int(3.2 * unit) + 4, int(1.75 * unit) + 3, int(0.8 * unit + arm_length) + 3
    origin = (width / 2, float(top))
    colour = _surface(rng, top + bottom, width, skin_colour(rng) if rng.random() < 0.7 else random_colour(rng))
    edge_on = rng.random() < 0.25
    pose = rng.choice(5, p=(0.5, 0.15, 0.12, 0.12, 0.11))
    up = np.array(((1, 1, 1, 1), (0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 0, 0), (1, 1, 1, 1)))[pose]
    spread, thumb, squeeze = rng.uniform(0.02, 0.28), rng.random() < 0.7, 0.45 if edge_on else 1.0
    side = 1.0 if rng.random() < 0.5 else -1.0
    lengths = np.array((0.92, 1.02, 0.95, 0.75)) * rng.uniform(0.85, 1.1)
    wrist, elbow = rng.uniform(0.3, 0.42) * squeeze**0.5, rng.uniform(0.4, 0.75)
    sleeve_from = rng.uniform(0.6, 3.0) if rng.random() < 0.6 else None
    if sleeve_from is not None and arm_length:
        start = int(top + sleeve_from * unit)
        if start < top + bottom - 2:
            colour[start:] = texture(rng, top + bottom - start, width, clutter=2)
    views = []
    bend = rng.uniform(0, 0.35) if rng.random() < 0.6 else 0.0
    for step in (0.0, 0.5, 1.0):
        alpha = np.zeros((top + bottom, width), np.uint8)

        def at(x: float, y: float) -> tuple[int, int]:
            return (round((origin[0] + side * x * unit) * 16), round((origin[1] + y * unit) * 16))

        palm = [at(x * squeeze, y) for x, y in _PALM]
        cv2.fillPoly(alpha, [np.array(palm, np.int32)], 255, cv2.LINE_AA, 4)
        if arm_length:
            end = bottom / unit + 0.3
            arm = [at(-wrist, 0.4), at(wrist, 0.4), at(elbow, end), at(-elbow, end)]
            cv2.fillPoly(alpha, [np.array(arm, np.int32)], 255, cv2.LINE_AA, 4)
        thick = max(1, round(0.23 * unit * (1.0 if not edge_on else 0.9)))
        for finger in range(4):
            length = lengths[finger] * (1 - bend * step) if up[finger] else 0.28
            lean = (finger - 1.5) * spread * (1 - 0.6 * bend * step) * squeeze
            root = ((finger - 1.5) * 0.27 * squeeze, -0.4)
            tip = (root[0] + np.sin(lean) * length, root[1] - np.cos(lean) * length)
            cv2.line(alpha, at(*root), at(*tip), 255, thick, cv2.LINE_AA, 4)
            if step == 0.0:
                dark = colour[max(0, top - 1)].mean(axis=0) * 0.6
                gap = (at(root[0] + 0.135, -0.4), at(tip[0] + 0.135, tip[1]))
                cv2.line(colour, *gap, tuple(map(float, dark)), 1, cv2.LINE_AA, 4)
        if thumb:
            reach = 0.75 + 0.25 * (1 - bend * step)
            cv2.line(alpha, at(-0.35 * squeeze, 0.2), at(-reach * squeeze, -0.35), 255, thick, cv2.LINE_AA, 4)
        views.append(_premultiply(colour, alpha))
    return Sprite(tuple(views), origin, float(diameter), arm=arm_length > 0)


def person(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Head and torso as a webcam sees them, premultiplied uint8 RGBA [size * 1.3, size * 1.3, 4]."""
    side = int(size * 1.3)
    alpha, colour = np.zeros((side, side), np.uint8), np.zeros((side, side, 3), np.uint8)
    colour[:] = texture(rng, side, side, clutter=4)
    x, scale = rng.uniform(0.3, 0.7) * side, rng.uniform(0.6, 1.5) * side
    y = rng.uniform(0.3, 0.55) * side
    shoulders = _SHOULDERS * rng.uniform(0.85, 1.15, _SHOULDERS.shape) * scale + (x, y)
    cv2.fillPoly(alpha, [np.round(shoulders * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    skin, hair = skin_colour(rng), random_colour(rng) * 0.5
    head = (int(0.1 * scale), int(0.14 * scale))
    neck = ((int(x - 0.05 * scale), int(y)), (int(x + 0.05 * scale), int(y + 0.2 * scale)))
    cv2.rectangle(alpha, *neck, 255, -1)
    cv2.rectangle(colour, *neck, tuple(map(float, skin * 0.85)), -1)
    for centre_y, axes, tone in ((y - 0.05 * scale, (int(head[0] * 1.15), int(head[1] * 1.1)), hair), (y, head, skin)):
        cv2.ellipse(alpha, (int(x), int(centre_y)), axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
        cv2.ellipse(colour, (int(x), int(centre_y)), axes, 0, 0, 360, tuple(map(float, tone)), -1, cv2.LINE_AA)
    for eye in (-0.04, 0.04):
        centre = (int(x + eye * scale), int(y - 0.02 * scale))
        cv2.circle(colour, centre, max(1, int(0.012 * scale)), (25, 20, 20), -1, cv2.LINE_AA)
    lit = np.clip(colour * shading(rng, side, side, 0.12), 0, 255).astype(np.uint8)
    return _premultiply(lit, alpha)
