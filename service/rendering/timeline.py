"""Draws values below their frames, for videos of explanations that have no values over space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.rendering.colours import GROUND, INK
from service.rendering.strip import TimeAxis, bar_strip

_SHARE = 5
_MARGIN = 6


def timeline(frames: NDArray[np.uint8], values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Hang a bar per frame below every frame and mark the bar of the one that is shown.

    frames: uint8 [T, h, w, 3] RGB; values: float64 [T]. Returns uint8 [T, h + about h / 5, w, 3].
    """
    count, height, width, _ = frames.shape
    step = width / count
    axis = TimeAxis(width=width, frames=count, origin=step / 2, step=step)
    bars = bar_strip(axis, max(24, height // _SHARE), values)
    images = []
    for index, frame in enumerate(frames):
        below = Image.new("RGB", (width, bars.height + 2 * _MARGIN), GROUND)
        below.paste(bars, (0, _MARGIN), bars)
        left, right = axis.edges(index, index)
        ImageDraw.Draw(below).rectangle(
            (left, _MARGIN - 3, max(left, right - 1), _MARGIN + bars.height + 2), outline=INK, width=2
        )
        images.append(np.concatenate((frame, np.asarray(below))))
    return np.stack(images)
