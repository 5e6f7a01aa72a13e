"""Hands whose fingers open, close and count: each finger has two parts and its own light."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.generated_clips.shapes import Sprite
from actionlens.generated_clips.textures import noise_texture, random_colour, shading, skin_colour, texture
from actionlens.generated_clips.webcam.people import premultiplied

Pose = NDArray[np.float64]

#: Stretch of thumb, index, middle, ring and little finger, 0 bent to 1 stretched, and how far they are spread.
POSES: dict[str, Pose] = {
    "open": np.array((1, 1, 1, 1, 1, 0.6)),
    "flat": np.array((0.3, 1, 1, 1, 1, 0.05)),
    "fist": np.array((0.1, 0, 0, 0, 0, 0.0)),
    "thumb": np.array((1.2, 0, 0, 0, 0, 0.0)),
    "index": np.array((0.1, 1, 0, 0, 0, 0.1)),
    "two": np.array((0.1, 1, 1, 0, 0, 0.6)),
    "three": np.array((0.1, 1, 1, 1, 0, 0.6)),
    "pinch": np.array((0.6, 0.5, 1, 1, 1, 0.5)),
    "claw": np.array((0.7, 0.6, 0.6, 0.6, 0.6, 0.7)),
}
_ROOTS = np.array(((-0.42, 0.2), (-0.33, -0.38), (-0.11, -0.45), (0.12, -0.43), (0.33, -0.33)))
_LENGTHS = np.array((0.72, 0.9, 1.02, 0.95, 0.72))
_PALM = np.array(((-0.42, -0.32), (-0.1, -0.48), (0.2, -0.46), (0.46, -0.3), (0.47, 0.15), (0.3, 0.68), (-0.28, 0.68)))


def posed_hand(rng: np.random.Generator, diameter: int, arm_length: float, poses: list[Pose]) -> Sprite:
    """A hand, fingers up, `diameter` pixels from wrist to finger tips, on a forearm of `arm_length` pixels (0 = none),
    once in every pose."""
    unit = diameter / 2.1
    width, top, bottom = int(3.4 * unit) + 6, int(1.75 * unit) + 4, int(0.8 * unit + arm_length) + 3
    origin = (width / 2, float(top))
    skin = skin_colour(rng) if rng.random() < 0.85 else random_colour(rng)
    grain = noise_texture(rng, top + bottom, width).astype(np.float32)
    surface = (skin + rng.uniform(0, 0.12) * (grain - grain.mean((0, 1)))) * shading(rng, top + bottom, width, 0.12)
    surface = np.clip(surface, 0, 255).astype(np.uint8)
    lengths, roots = _LENGTHS * rng.uniform(0.88, 1.12, 5), _ROOTS * rng.uniform(0.92, 1.08, (5, 1))
    side, squeeze = (1.0 if rng.random() < 0.5 else -1.0), (rng.uniform(0.4, 0.8) if rng.random() < 0.25 else 1.0)
    wrist, elbow, sleeve_from = rng.uniform(0.26, 0.36), rng.uniform(0.34, 0.6), rng.uniform(0.5, 2.5)
    sleeve = texture(rng, top + bottom, width, clutter=2) if rng.random() < 0.75 else None
    scale = np.array((side * squeeze * unit, unit))

    def at(point: NDArray[np.float64]) -> tuple[int, int]:
        x, y = (np.asarray(point) * scale + origin) * 16
        return round(x), round(y)

    views = []
    for pose in poses:
        colour, alpha = surface.copy(), np.zeros((top + bottom, width), np.uint8)
        if arm_length:
            end = bottom / unit + 0.3
            arm = np.array(((-wrist, 0.4), (wrist, 0.4), (elbow, end), (-elbow, end)))
            cv2.fillPoly(alpha, [np.array([at(p) for p in arm])], 255, cv2.LINE_AA, 4)
            first = int(top + sleeve_from * unit)
            if sleeve is not None and first < top + bottom - 2:
                colour[first:] = sleeve[first:]
        palm = [np.array([at(p) for p in _PALM])]
        cv2.fillPoly(alpha, palm, 255, cv2.LINE_AA, 4)
        for finger in range(5):
            _finger(colour, alpha, at, roots[finger], lengths[finger], finger, pose, unit, skin)
        views.append(premultiplied(colour, alpha))
    return Sprite(tuple(views), origin, float(diameter), arm=arm_length > 0)


def _finger(
    colour: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    at: Callable[[NDArray[np.float64]], tuple[int, int]],
    root: NDArray[np.float64],
    length: float,
    finger: int,
    pose: Pose,
    unit: float,
    skin: NDArray[np.float64],
) -> None:
    stretch, spread = float(pose[finger]), float(pose[5])
    lean = (finger - 2.5) * 0.28 * spread
    if finger == 0:
        lean = -0.55 - 0.5 * spread if stretch <= 1 else -0.1
    reach = length * max(0.16, min(stretch, 1.0))
    middle = root + np.array((np.sin(lean), -np.cos(lean))) * reach * 0.55
    tip = middle + np.array((np.sin(lean * 1.2), -np.cos(lean * 1.2))) * reach * 0.45
    thick = max(1, round(0.235 * unit))
    tone = tuple(float(v) for v in np.clip(skin * (0.92 + 0.05 * (finger % 3)), 0, 255))
    dark = tuple(float(v) for v in np.clip(skin * 0.55, 0, 255))
    for one, other in ((root, middle), (middle, tip)):
        cv2.line(alpha, at(one), at(other), 255, thick, cv2.LINE_AA, 4)
        cv2.line(colour, at(one), at(other), dark, thick + 1, cv2.LINE_AA, 4)
    for one, other in ((root, middle), (middle, tip)):
        cv2.line(colour, at(one), at(other), tone, max(1, thick - 1), cv2.LINE_AA, 4)
