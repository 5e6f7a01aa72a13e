"""Random textures: what surfaces look like. All return uint8 RGB [H, W, 3]."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[float, float, float]

_DARK_SKIN = np.array((58.0, 36.0, 26.0))
_LIGHT_SKIN = np.array((250.0, 216.0, 190.0))


def random_colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Any RGB colour, [3] in 0..255; half of the draws are muted, as most indoor surfaces are."""
    colour = np.asarray(rng.uniform(0, 255, 3))
    if rng.random() < 0.5:
        colour = colour.mean() + 0.3 * (colour - colour.mean())
    return np.asarray(colour, dtype=np.float64)


def skin_colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """A skin tone between very dark and very light under slightly coloured light, RGB [3] in 0..255."""
    tone = _DARK_SKIN + rng.random() * (_LIGHT_SKIN - _DARK_SKIN)
    return np.asarray(np.clip(tone * rng.uniform(0.8, 1.15, 3), 0, 255))


def shading(rng: np.random.Generator, height: int, width: int, strength: float) -> NDArray[np.float32]:
    """Smooth multiplicative light, float32 [H, W, 1] around 1, deviating by about `strength`."""
    grid = rng.normal(1.0, strength, (3, 3)).astype(np.float32)
    smooth = np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    return smooth[..., None]


def noise_texture(rng: np.random.Generator, height: int, width: int) -> Image:
    """Coloured value noise of a random coarseness around one or two colours."""
    cells = int(rng.integers(2, 14))
    mix = rng.random((cells, cells)).astype(np.float32)
    mix = np.asarray(cv2.resize(mix, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)[..., None]
    first, second = random_colour(rng), random_colour(rng)
    contrast = rng.uniform(0.1, 1.0)
    return np.clip(first + mix * contrast * (second - first), 0, 255).astype(np.uint8)


def stripe_texture(rng: np.random.Generator, height: int, width: int) -> Image:
    """Stripes, bars or a chequer at any angle."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(0.05, 0.4) * max(height, width)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    wave = np.sin((columns * np.cos(angle) + rows * np.sin(angle)) * (2 * np.pi / period))
    if rng.random() < 0.3:
        wave = wave * np.sin((rows * np.cos(angle) - columns * np.sin(angle)) * (2 * np.pi / period))
    mix = np.clip(wave * rng.uniform(0.7, 6.0) * 0.5 + 0.5, 0, 1)[..., None]
    first, second = random_colour(rng), random_colour(rng)
    return np.asarray(np.clip(first + mix * (second - first), 0, 255), dtype=np.uint8)


def add_clutter(rng: np.random.Generator, image: Image, pieces: int) -> None:
    """Draw `pieces` furniture-like rectangles, discs and lines into `image` in place."""
    height, width = image.shape[:2]
    for _ in range(pieces):
        colour = tuple(float(c) for c in random_colour(rng))
        x, y = int(rng.integers(-width // 4, width)), int(rng.integers(-height // 4, height))
        w, h = (int(v) for v in rng.integers(3, max(4, width // 2), 2))
        kind = rng.integers(0, 4)
        if kind == 0:
            cv2.ellipse(image, (x, y), (w // 3 + 1, h // 3 + 1), float(rng.uniform(0, 180)), 0, 360, colour, -1)
        elif kind == 1:
            cv2.line(image, (x, y), (x + w, y + h - height // 4), colour, int(rng.integers(1, 5)), cv2.LINE_AA)
        else:
            cv2.rectangle(image, (x, y), (x + w, y + h), colour, -1 if rng.random() < 0.7 else 2)


def texture(rng: np.random.Generator, height: int, width: int, clutter: int = 0) -> Image:
    """One random surface with up to `clutter` pieces drawn on it."""
    painter = noise_texture if rng.random() < 0.75 else stripe_texture
    image = painter(rng, height, width)
    if clutter:
        add_clutter(rng, image, int(rng.integers(0, clutter + 1)))
    return image
