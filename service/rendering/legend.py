"""Draws the colour scale with its numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.rendering.colours import GROUND, INK, colour_bar
from service.rendering.text import number, text_width, write

_OPACITY = 0.78


def legend(width: int, size: int, peak: float, signed: bool) -> NDArray[np.uint8]:
    """A colour scale of about `width` pixels with its ends written beside it: uint8 [h, w, 3]. size: of the text."""
    low, high = number(-peak) if signed else "0", number(peak)
    gap = size // 2
    left, right = text_width(low, size), text_width(high, size)
    height = size + gap
    canvas = Image.new("RGB", (left + right + width + 4 * gap, height), GROUND)
    write(canvas, (gap, height / 2), low, size, INK, "lm")
    write(canvas, (left + width + 3 * gap, height / 2), high, size, INK, "lm")
    thickness = max(4, size // 2)
    canvas.paste(Image.fromarray(colour_bar(width, thickness, signed)), (left + 2 * gap, (height - thickness) // 2))
    return np.asarray(canvas).copy()


def stamp_legend(images: NDArray[np.uint8], peak: float, signed: bool) -> None:
    """Draw the colour scale into the lower left corner of every image, in place; not where it would not fit."""
    _, height, width, _ = images.shape
    size = max(9, min(height, width) // 32)
    drawn = legend(max(32, width // 5), size, peak, signed)
    margin = size // 2
    if drawn.shape[1] + 2 * margin > width // 1.5 or drawn.shape[0] * 5 > height:
        return
    corner = images[:, height - margin - drawn.shape[0] : height - margin, margin : margin + drawn.shape[1]]
    corner[:] = np.rint(corner * (1 - _OPACITY) + drawn * _OPACITY).astype(np.uint8)
