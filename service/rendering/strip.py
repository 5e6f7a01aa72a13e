"""Draws strips of a contact sheet: curves, bars and matrices along the time axis under a row of frames."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.readings.explanation import TimeWindow
from service.rendering.colours import ACCENT, AGAINST, FAINT, LINE, OPACITY, PANEL, heat_colours
from service.rendering.text import write

_FINE = 3
"""Curves are drawn so many times larger and shrunk, which smooths them."""
_SMALL = 13


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Places model frames along a strip: frame f is centred at `origin + f * step` pixels. width: of the strip,
    frames: T."""

    width: int
    frames: int
    origin: float
    step: float

    def x(self, frame: float) -> float:
        """Pixel of a (fractional) model frame."""
        return self.origin + frame * self.step

    def edges(self, first: float, last: float) -> tuple[float, float]:
        """Left and right pixel of the frames first .. last as wide as they are."""
        return max(self.x(first - 0.5), 0.0), min(self.x(last + 0.5), float(self.width))


def curve_strip(
    axis: TimeAxis,
    height: int,
    profile: NDArray[np.float64],
    window: TimeWindow | None = None,
    whole: NDArray[np.float64] | None = None,
    highest: float | None = None,
) -> Image.Image:
    """Relevance per model frame as a filled curve, with the window that the reading names shaded behind it.

    profile, whole: float64 [T] >= 0. whole: all relevance, drawn faintly, where the profile is a part of it. highest:
    value at the top; the largest when left out.
    """
    if highest is None:
        highest = max(float(profile.max(initial=0)), float(whole.max(initial=0)) if whole is not None else 0.0)
    canvas = Image.new("RGB", (axis.width * _FINE, height * _FINE), PANEL)
    draw = ImageDraw.Draw(canvas)
    if window is not None:
        left, right = axis.edges(window.first, window.last)
        shade = _mix(PANEL, ACCENT, 0.22)
        draw.rectangle((left * _FINE, 0, right * _FINE - 1, height * _FINE), fill=shade)
    if highest > 0:
        if whole is not None:
            draw.line(_points(axis, height, whole / highest), fill=FAINT, width=_FINE, joint="curve")
        points = _points(axis, height, profile / highest)
        floor = (height - 5) * _FINE
        fill = Image.new("L", canvas.size, 0)
        ImageDraw.Draw(fill).polygon([(points[0][0], floor), *points, (points[-1][0], floor)], fill=90)
        canvas.paste(Image.new("RGB", canvas.size, ACCENT), mask=fill)
        ImageDraw.Draw(canvas).line(points, fill=ACCENT, width=2 * _FINE, joint="curve")
    return _rounded(canvas.resize((axis.width, height), Image.Resampling.LANCZOS))


def bar_strip(
    axis: TimeAxis, height: int, values: NDArray[np.float64], span: tuple[float, float] | None = None
) -> Image.Image:
    """One bar per model frame, up for evidence and down for counter-evidence.

    values: float64 [T]. span: lowest (<= 0) and highest (>= 0) value of the scale; those of the values when left out.
    """
    canvas = Image.new("RGB", (axis.width, height), PANEL)
    draw = ImageDraw.Draw(canvas)
    lowest, highest = span or (min(float(values.min(initial=0)), 0.0), max(float(values.max(initial=0)), 0.0))
    room = height - 12
    zero = 6 + room * highest / ((highest - lowest) or 1.0)
    reach = max(1.0, axis.step * 0.38)
    for frame, value in enumerate(values):
        end = zero - room * float(value) / ((highest - lowest) or 1.0)
        box = (axis.x(frame) - reach, min(zero, end), axis.x(frame) + reach, max(zero, end))
        draw.rectangle(box, fill=ACCENT if value > 0 else AGAINST)
    draw.line((0, zero, axis.width, zero), fill=LINE)
    return _rounded(canvas)


def matrix_strip(axis: TimeAxis, values: NDArray[np.float32], tallest: int = 240) -> Image.Image:
    """A relevance matrix over the time axis. values: float32 [T', N]; columns are input frames under their images,
    rows are output steps from top to bottom."""
    rows, columns = values.shape
    cell = int(np.clip(tallest // rows, 3, 18))
    left, right = axis.edges(0, axis.frames - 1)
    peak, signed = matrix_scale(values)
    colours, opacity = heat_colours(values / np.float32(peak or 1.0), signed)
    # On a plain ground full opacity is wanted: there is no image to be seen through it.
    strength = np.clip(opacity[..., None] / OPACITY, 0, 1)
    cells = np.rint(np.array(PANEL) * (1 - strength) + colours * strength).astype(np.uint8)
    size = (max(1, round(right - left)), cell * rows)
    drawn = cv2.resize(cells, size, interpolation=cv2.INTER_NEAREST if columns < size[0] else cv2.INTER_AREA)
    canvas = Image.new("RGB", (axis.width, size[1]), PANEL)
    canvas.paste(Image.fromarray(np.asarray(drawn, np.uint8)), (round(left), 0))
    return _rounded(canvas)


def matrix_scale(values: NDArray[np.float32]) -> tuple[float, bool]:
    """The value drawn at full strength, and whether there are values on both sides of 0."""
    return float(np.abs(values).max(initial=0)), bool((values < 0).any())


def label(image: Image.Image, text: str, position: tuple[float, float], anchor: str = "la") -> None:
    """A small faint line of text for axes."""
    write(image, position, text, _SMALL, FAINT, anchor)


def _points(axis: TimeAxis, height: int, shares: NDArray[np.float64]) -> list[tuple[float, float]]:
    floor, room = height - 5, height - 14
    return [(axis.x(f) * _FINE, (floor - room * float(share)) * _FINE) for f, share in enumerate(shares)]


def _rounded(image: Image.Image, radius: int = 6) -> Image.Image:
    mask = Image.new("L", (image.width * _FINE, image.height * _FINE), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), radius * _FINE, fill=255)
    image.putalpha(mask.resize(image.size, Image.Resampling.LANCZOS))
    return image


def _mix(ground: tuple[int, int, int], colour: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    mixed = [round(g + (c - g) * share) for g, c in zip(ground, colour, strict=True)]
    return mixed[0], mixed[1], mixed[2]
