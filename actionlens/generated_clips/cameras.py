"""Camera and codec effects on a clip: exposure, blur, noise, compression, repeated frames, black bars."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Clip = NDArray[np.uint8]


def exposure(rng: np.random.Generator, covered: NDArray[np.float64]) -> NDArray[np.float32]:
    """Brightness per frame [T]: a fixed level, flicker, and an automatic exposure that reacts to `covered` [T]
    (the share of the frame the mover covers)."""
    frames = len(covered)
    gain = np.full(frames, rng.uniform(0.6, 1.25))
    if rng.random() < 0.35:
        gain = gain * (1 + rng.normal(0, rng.uniform(0, 0.05), frames))
    if rng.random() < 0.35:
        lag = np.convolve(np.pad(covered, (2, 0), mode="edge"), np.ones(3) / 3, mode="valid")
        gain = gain * np.exp(rng.uniform(-0.9, 1.2) * lag)
    if rng.random() < 0.1:
        gain = gain * np.linspace(1, rng.uniform(0.75, 1.3), frames)
    return gain.astype(np.float32)


def record(rng: np.random.Generator, clip: Clip, covered: NDArray[np.float64]) -> Clip:
    """Film a rendered clip, uint8 [T, H, W, 3] -> the same. Geometry is left as it is."""
    frames, height, width, _ = clip.shape
    fog, haze = (rng.uniform(0.4, 0.9), rng.uniform(0, 255)) if rng.random() < 0.25 else (1.0, 0.0)
    tint = rng.uniform(0.85, 1.15, 3) if rng.random() < 0.5 else np.ones(3)
    levels = (np.arange(256) * fog + haze * (1 - fog))[:, None] * tint
    curves = np.clip(levels * exposure(rng, covered)[:, None, None], 0, 255).astype(np.uint8)
    filmed = np.stack([cv2.LUT(frame, curve[None]) for frame, curve in zip(clip, curves, strict=True)]).astype(np.uint8)
    if rng.random() < 0.6:
        # One field of noise, shifted per frame: as independent between frames as needed, at a fraction of the cost.
        field = rng.standard_normal((height, width, 3), dtype=np.float32) * np.float32(rng.uniform(0.5, 8))
        grain = np.tile(field.round().astype(np.int16), (2, 2, 1))
        for time, (down, right) in enumerate(rng.integers(0, (height, width), (frames, 2))):
            shifted = np.ascontiguousarray(grain[down : down + height, right : right + width])
            filmed[time] = cv2.add(filmed[time], shifted, dtype=cv2.CV_8U)
    if rng.random() < 0.35:
        sigma = rng.uniform(0.3, 1.3) * height / 112
        filmed = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in filmed]).astype(np.uint8)
    if rng.random() < 0.3:
        quality = int(rng.integers(25, 85))
        packed = [cv2.imencode(".jpg", frame, (cv2.IMWRITE_JPEG_QUALITY, quality))[1] for frame in filmed]
        filmed = np.stack([np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8) for data in packed])
    if rng.random() < 0.08:
        filmed = add_bars(rng, filmed)
    return filmed


def add_bars(rng: np.random.Generator, clip: Clip) -> Clip:
    """Black bars above and below or left and right, as letterboxed recordings have them."""
    bar = int(rng.uniform(0.04, 0.15) * clip.shape[1])
    if bar:
        barred = clip if rng.random() < 0.6 else clip.transpose(0, 2, 1, 3)
        barred[:, :bar] = 0
        barred[:, -bar:] = 0
    return clip


def repeats(rng: np.random.Generator, frames: int) -> NDArray[np.intp]:
    """Which rendered frame each recorded frame shows, [T]: its own, or an earlier one (dropped frames)."""
    index = np.arange(frames)
    if rng.random() < 0.12:
        stale = rng.random(frames) < rng.uniform(0.05, 0.4)
        stale[0] = False
        index = np.maximum.accumulate(np.where(stale, 0, index))
    return index
