"""Images as characters: each character cell shows two pixels, one above the other."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_UPPER = "▀"
# Levels of red, green and blue in the colour cube of terminals with 256 colours, which begins at 16.
_CUBE = np.array([0, 95, 135, 175, 215, 255])
_GREYS = np.arange(8, 239, 10)
RESET = "\x1b[0m"


def fitted(height: int, width: int, rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of the largest image of that aspect in so many cells, at least one of each.

    Two pixels stand in a cell, which terminals draw about twice as high as wide: so pixels are square.
    """
    ratio = min(2 * rows / height, columns / width)
    return max(1, int(height * ratio) // 2), max(1, int(width * ratio))


def cells(image: NDArray[np.uint8], rows: int, columns: int, true_colour: bool) -> list[str]:
    """An image, uint8 [h, w, 3] RGB, as `rows` lines of `columns` characters with their escape codes.

    true_colour: any colour; else the nearest of the 256 that almost every terminal has.
    """
    pixels = np.asarray(cv2.resize(image, (columns, 2 * rows), interpolation=cv2.INTER_AREA), np.uint8)
    codes = _true(pixels) if true_colour else _indexed(pixels)
    return [_line(upper, lower) for upper, lower in zip(codes[::2], codes[1::2], strict=True)]


def _line(upper: list[str], lower: list[str]) -> str:
    parts, before = [], ("", "")
    for pair in zip(upper, lower, strict=True):
        if pair[0] != before[0]:
            parts.append(f"\x1b[38;{pair[0]}m")
        if pair[1] != before[1]:
            parts.append(f"\x1b[48;{pair[1]}m")
        parts.append(_UPPER)
        before = pair
    return "".join([*parts, RESET])


def _true(pixels: NDArray[np.uint8]) -> list[list[str]]:
    # Neighbours that differ by noise alone share a code: half of the bytes on the way.
    even = (pixels & 0xFC).tolist()
    return [[f"2;{r};{g};{b}" for r, g, b in row] for row in even]


def _indexed(pixels: NDArray[np.uint8]) -> list[list[str]]:
    wanted = pixels.astype(np.int32)
    levels = np.abs(wanted[..., None] - _CUBE).argmin(-1)
    cube = 16 + levels @ np.array([36, 6, 1])
    grey = np.abs(wanted.mean(-1)[..., None] - _GREYS).argmin(-1)
    far = ((wanted - _CUBE[levels]) ** 2).sum(-1)
    near = ((wanted - _GREYS[grey][..., None]) ** 2).sum(-1) < far
    return [[f"5;{code}" for code in row] for row in np.where(near, 232 + grey, cube).tolist()]
