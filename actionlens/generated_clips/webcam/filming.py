"""What a webcam makes of a picture: little light, light from a side, automatic exposure and white balance that hunt,
noise, soft focus, compression between frames, and black bars around a picture that is not square."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.generated_clips.cameras import exposure
from actionlens.generated_clips.textures import shading
from actionlens.generated_clips.webcam.views import smooth

Clip = NDArray[np.uint8]


def film(rng: np.random.Generator, clip: Clip, covered: NDArray[np.float64]) -> Clip:
    """Film a rendered clip, uint8 [T, H, W, 3] -> the same. `covered` [T]: share of the frame that the mover covers."""
    frames, height, width, _ = clip.shape
    gains = np.repeat(_gains(rng, covered)[:, None], 3, axis=1)
    gains = gains * (rng.uniform(0.8, 1.2, 3) if rng.random() < 0.6 else 1.0)
    if rng.random() < 0.3:  # white balance that hunts
        gains = gains * np.exp(0.08 * smooth(rng, frames, 2.0, 0.5, 3))
    dark = rng.random() < 0.3
    if dark:
        gains = gains * rng.uniform(0.2, 0.6)
    haze = rng.uniform(0, 120) if rng.random() < 0.2 else 0.0
    field = shading(rng, height, width, rng.uniform(0.15, 0.5)) if rng.random() < 0.5 else np.float32(1.0)
    bend = rng.uniform(0.6, 1.6) if rng.random() < 0.4 else 1.0
    seen = clip.astype(np.float32)
    if rng.random() < 0.65:  # most rooms have few strong colours
        grey = seen.mean(axis=3, keepdims=True)
        seen = grey + rng.uniform(0.0, 0.8) * (seen - grey)
    lit = np.clip(seen * np.clip(field, 0.08, 3.0), 0, 255).astype(np.uint8)
    levels = 255 * (np.arange(256) / 255) ** bend * (1 - haze / 255)
    curves = np.clip(levels[None, :, None] * gains[:, None] + haze, 0, 255).astype(np.uint8)
    filmed = np.stack([cv2.LUT(frame, curve[None]) for frame, curve in zip(lit, curves, strict=True)]).astype(np.uint8)
    if rng.random() < 0.75:
        filmed = _noise(rng, filmed, rng.uniform(2, 9) if dark else rng.uniform(0.5, 6))
    if rng.random() < 0.4:
        sigma = rng.uniform(0.3, 1.2) * height / 112
        filmed = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in filmed]).astype(np.uint8)
    if rng.random() < 0.5:
        filmed = compressed(filmed, int(rng.integers(12, 70)))
    return filmed


def _gains(rng: np.random.Generator, covered: NDArray[np.float64]) -> NDArray[np.float64]:
    gains = exposure(rng, covered).astype(np.float64)
    if rng.random() < 0.35:  # drifts, or answers late to what came before the lens
        gains = gains * np.exp(0.2 * rng.random() * smooth(rng, len(covered), 2.5, 0.5, 1)[:, 0])
        late = int(rng.integers(1, 4))
        seen = np.concatenate((np.repeat(covered[:1], late), covered))[: len(covered)]
        gains = gains * np.exp(rng.uniform(-1.6, 0.8) * np.convolve(seen, (0.5, 0.5))[: len(seen)])
    return gains


def _noise(rng: np.random.Generator, clip: Clip, sigma: float) -> Clip:
    frames, height, width, _ = clip.shape
    field = rng.standard_normal((height, width, 3), dtype=np.float32)
    if rng.random() < 0.5:  # grain after a camera's own smoothing
        field = 1.6 * np.asarray(cv2.GaussianBlur(field, (0, 0), 0.7))
    grain = np.tile((field * np.float32(sigma)).round().astype(np.int16), (2, 2, 1))
    noisy = np.empty_like(clip)
    for time, (down, right) in enumerate(rng.integers(0, (height, width), (frames, 2))):
        shifted = np.ascontiguousarray(grain[down : down + height, right : right + width])
        noisy[time] = cv2.add(clip[time], shifted, dtype=cv2.CV_8U)
    return noisy


def compressed(clip: Clip, quality: int) -> Clip:
    """Every frame as a coarse picture of its difference to the one before, as codecs of video do it.

    quality: 1 to 100, that of JPEG; little of it leaves small changes out, so that what moves drags its blocks along.
    """
    options = (cv2.IMWRITE_JPEG_QUALITY, quality)

    def coarse(picture: NDArray[np.uint8]) -> NDArray[np.int16]:
        data = cv2.imencode(".jpg", picture, options)[1]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.int16)

    packed = np.empty_like(clip)
    last = coarse(clip[0])
    packed[0] = last
    for time in range(1, len(clip)):
        change = np.clip((clip[time] - last) // 2 + 128, 0, 255).astype(np.uint8)
        last = np.clip(last + 2 * (coarse(change) - 128), 0, 255).astype(np.int16)
        packed[time] = last
    return packed


def letterboxed(pictures: NDArray[np.uint8], aspect: float, size: int) -> NDArray[np.uint8]:
    """Squares [T, S, S, ...] back to the shape that the camera gave, width over height `aspect`, within black bars;
    [T, size, size, ...]."""
    columns, rows = round(size * min(1.0, aspect)), round(size / max(1.0, aspect))
    top, left = (size - rows) // 2, (size - columns) // 2
    boxed = np.zeros((len(pictures), size, size, *pictures.shape[3:]), np.uint8)
    for target, picture in zip(boxed, pictures, strict=True):
        target[top : top + rows, left : left + columns] = cv2.resize(
            picture, (columns, rows), interpolation=cv2.INTER_AREA
        )
    return boxed
