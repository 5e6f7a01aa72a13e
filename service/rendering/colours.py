"""Defines the colour scales for relevance: fixed, perceptually even, safe for colour-blind eyes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

INK = (236, 238, 242)
"""Text."""
FAINT = (150, 156, 168)
"""Text of second rank, axes."""
LINE = (62, 67, 78)
PANEL = (32, 35, 42)
GROUND = (21, 23, 28)
"""The page."""
ACCENT = (255, 176, 59)
"""Curves and bars of positive relevance."""
AGAINST = (86, 156, 240)
"""Negative relevance: evidence against."""

OPACITY = 0.82
"""Of the strongest relevance."""
_GROWTH = 0.7


def heat_colours(values: NDArray[np.float32], signed: bool) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Colour and opacity of scaled relevance.

    values: float32 [...], -1 .. 1 (0 .. 1 when not signed; the rest is clipped). Returns uint8 [..., 3] RGB and float32
    [...] opacity 0 .. 0.82, which is 0 at 0 and grows with the magnitude, so that the image stays visible.
    Not signed: "inferno" from purple to yellow. Signed: blue (against) to orange (for).
    """
    if signed:
        levels = np.rint(np.clip(values, -1, 1) * 127).astype(np.int16) + 128
        return _DIVERGING[levels], _DIVERGING_OPACITY[levels]
    levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.int16)
    return _SEQUENTIAL[levels], _SEQUENTIAL_OPACITY[levels]


def colour_bar(width: int, height: int, signed: bool) -> NDArray[np.uint8]:
    """The colour scale itself, as laid over mid-grey: uint8 [height, width, 3]."""
    values = np.linspace(-1.0 if signed else 0.0, 1.0, width, dtype=np.float32)
    colours, opacity = heat_colours(values, signed)
    line = colours * opacity[:, None] + 70.0 * (1 - opacity[:, None])
    return np.broadcast_to(line.astype(np.uint8), (height, width, 3)).copy()


def _sequential() -> NDArray[np.uint8]:
    whole = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1]
    # The black third of the map would darken the scene where there is almost no relevance.
    return np.asarray(whole[np.linspace(72, 250, 256).round().astype(int)], np.uint8)


def _diverging() -> NDArray[np.uint8]:
    # Each side keeps its hue down to 0, where it is transparent: a pale middle would wash the scene out.
    stops = np.array([[120, 210, 255], [40, 120, 255], [30, 70, 220], [214, 60, 10], [255, 120, 20], [255, 214, 110]])
    positions = [0, 0.25, 0.4999, 0.5001, 0.75, 1]
    channels = [np.interp(np.linspace(0, 1, 256), positions, stops[:, c]) for c in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


def _opacity(strength: NDArray[np.float64]) -> NDArray[np.float32]:
    return (OPACITY * np.clip(strength, 0, 1) ** _GROWTH).astype(np.float32)


_SEQUENTIAL = _sequential()
_SEQUENTIAL_OPACITY = _opacity(np.arange(256) / 255)
_DIVERGING = _diverging()
# Level 128 is exactly 0.
_DIVERGING_OPACITY = _opacity(np.abs(np.arange(256) - 128) / 127)
