"""Head and torso as two layers, so that a head can nod and turn while the shoulders stay."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.generated_clips.textures import random_colour, shading, skin_colour, texture

Image = NDArray[np.uint8]
Colour = tuple[float, ...]

_SHOULDERS = np.array(
    ((-0.34, 1.7), (-0.32, 0.42), (-0.24, 0.27), (-0.08, 0.2), (0.08, 0.2), (0.24, 0.27), (0.32, 0.42), (0.34, 1.7))
)


@dataclass(frozen=True, slots=True)
class Body:
    """`torso`, `head`: premultiplied uint8 RGBA of one square canvas; `neck`: about which the head turns, and `centre`
    of the head, (column, row) in canvas pixels."""

    torso: Image
    head: Image
    neck: tuple[float, float]
    centre: tuple[float, float]


def premultiplied(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> Image:
    """RGB and alpha as one premultiplied RGBA image."""
    return np.dstack(((colour.astype(np.uint16) * alpha[..., None] // 255).astype(np.uint8), alpha))


def body(rng: np.random.Generator, side: int, height: float) -> Body:
    """A person on a canvas of `side` pixels, the head `height` pixels from crown to chin."""
    x, y = side / 2, side * 0.32
    unit = height / 0.3
    torso_alpha, head_alpha = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
    clothes = texture(rng, side, side, clutter=int(rng.integers(0, 5)))
    shoulders = _SHOULDERS * rng.uniform(0.85, 1.2, _SHOULDERS.shape) * unit + (x, y)
    cv2.fillPoly(torso_alpha, [np.round(shoulders * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    skin, hair = skin_colour(rng), random_colour(rng) * rng.uniform(0.15, 0.7)
    _collar(rng, clothes, torso_alpha, (x, y), unit, skin)
    head = np.zeros((side, side, 3), np.uint8)
    wide = rng.uniform(0.095, 0.125) * unit
    _hair(rng, head, head_alpha, (x, y), wide, unit, hair)
    _face(rng, head, head_alpha, (x, y), wide, unit, skin)
    light = shading(rng, side, side, rng.uniform(0.08, 0.3))
    lit = [np.clip(part * light, 0, 255).astype(np.uint8) for part in (clothes, head)]
    return Body(
        premultiplied(lit[0], torso_alpha), premultiplied(lit[1], head_alpha), (x, y + 0.17 * unit), (x, float(y))
    )


def _tone(colour: NDArray[np.float64], share: float) -> Colour:
    return tuple(float(value) for value in np.clip(colour * share, 0, 255))


def _collar(
    rng: np.random.Generator,
    clothes: Image,
    alpha: Image,
    centre: tuple[float, float],
    unit: float,
    skin: NDArray[np.float64],
) -> None:
    x, y = centre
    throat = np.array(((-0.05, 0.1), (0.05, 0.1), (0.06, 0.24), (0, rng.uniform(0.24, 0.42)), (-0.06, 0.24)))
    points = [np.round((throat * unit + (x, y)) * 16).astype(np.int32)]
    cv2.fillPoly(alpha, points, 255, cv2.LINE_AA, 4)
    cv2.fillPoly(clothes, points, _tone(skin, 0.8), cv2.LINE_AA, 4)


def _ellipse(image: Image, centre: tuple[float, float], axes: tuple[float, float], colour: Colour) -> None:
    box = (centre, (2 * axes[0], 2 * axes[1]), 0.0)
    cv2.ellipse(image, box, colour, -1, cv2.LINE_AA)


def _hair(
    rng: np.random.Generator,
    head: Image,
    alpha: Image,
    centre: tuple[float, float],
    wide: float,
    unit: float,
    colour: NDArray[np.float64],
) -> None:
    x, y = centre
    if rng.random() < 0.12:
        return
    crown = ((x, y - 0.04 * unit), (wide * rng.uniform(1.05, 1.3), 0.14 * unit * rng.uniform(0.95, 1.15)))
    for image, tone in ((alpha, (255.0,)), (head, _tone(colour, 1.0))):
        _ellipse(image, *crown, tone)
    if rng.random() < 0.4:  # long hair
        corners = np.array(((-1.15, -0.05), (1.15, -0.05), (1.25, rng.uniform(0.14, 0.34)), (-1.25, 0.25)))
        points = [np.round((corners * (wide, unit) + (x, y)) * 16).astype(np.int32)]
        cv2.fillPoly(alpha, points, 255, cv2.LINE_AA, 4)
        cv2.fillPoly(head, points, _tone(colour, 0.9), cv2.LINE_AA, 4)


def _face(
    rng: np.random.Generator,
    head: Image,
    alpha: Image,
    centre: tuple[float, float],
    wide: float,
    unit: float,
    skin: NDArray[np.float64],
) -> None:
    x, y = centre
    oval = ((x, y + 0.01 * unit), (wide, 0.14 * unit))
    _ellipse(alpha, *oval, (255.0,))
    _ellipse(head, *oval, _tone(skin, 1.0))
    turned = rng.uniform(-0.25, 0.25) * wide
    for side in (-1, 1):
        eye = (x + turned + side * 0.42 * wide, y - 0.015 * unit)
        _ellipse(head, eye, (0.2 * wide, 0.012 * unit), _tone(skin, 0.55))
        _ellipse(head, eye, (0.09 * wide, 0.012 * unit), (30.0, 22.0, 20.0))
        _ellipse(head, (eye[0], eye[1] - 0.032 * unit), (0.24 * wide, 0.007 * unit), _tone(skin, 0.45))
    _ellipse(head, (x + turned, y + 0.03 * unit), (0.12 * wide, 0.028 * unit), _tone(skin, 0.85))
    _ellipse(head, (x + turned, y + 0.085 * unit), (0.32 * wide, 0.011 * unit), _tone(skin * (1.0, 0.7, 0.7), 0.75))
    if rng.random() < 0.2:
        _ellipse(head, (x + turned, y + 0.11 * unit), (0.55 * wide, 0.04 * unit), _tone(skin, 0.4))
    if rng.random() < 0.3:
        for side in (-1, 1):
            lens = (int(x + turned + side * 0.42 * wide), int(y - 0.015 * unit))
            cv2.ellipse(
                head, lens, (int(0.34 * wide), int(0.03 * unit)), 0, 0, 360, (35, 35, 40), max(1, int(0.008 * unit))
            )
