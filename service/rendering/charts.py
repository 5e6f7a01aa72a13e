"""Draws charts of numbers of many clips: mean curves with their error bands, histograms, matrices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.rendering.colours import (
    ACCENT,
    AGAINST,
    FAINT,
    GROUND,
    INK,
    LINE,
    OPACITY,
    PANEL,
    colour_bar,
    heat_colours,
)
from service.rendering.text import Colour, number, shorten, text_width, wrap, write

COLOURS: tuple[Colour, ...] = (
    ACCENT,
    AGAINST,
    (64, 200, 150),
    (232, 120, 176),
    (240, 228, 90),
    (235, 104, 60),
    (170, 140, 240),
    (140, 215, 240),
)
"""Of lines, in order; apart for colour-blind eyes as far as eight can be. Those of baselines are grey."""
_GREYS: tuple[Colour, ...] = (
    (168, 174, 186),
    (236, 238, 242),
    (206, 190, 152),
    (132, 146, 178),
    (170, 136, 124),
    (146, 172, 150),
    (120, 126, 138),
)
_FINE = 3
_TITLE, _TEXT, _SMALL = 19, 15, 13
_MARGIN = 18
_PANEL, _ALONE = (430, 300), (640, 400)
"""Width and height of a panel; of one that has the chart for itself."""
_LEFT, _FOOT, _HEAD = 58, 30, 30
_INSET = 5
"""Between the ends of curves and the edge of their panel."""
_LEGEND = 300
_ROW = 40
_MOST_ACROSS = 3
_BAND, _BAND_EDGE = 44, 120
"""Opacity of 255 of error bands, and of their edges."""
_TALLEST_MATRIX = 420


@dataclass(frozen=True)
class Line:
    """A mean curve. x, y: float64 [m], x rising; y may be NaN. error: [m], half the height of the band, NaN for none.

    baseline: drawn grey and dashed, without its band.
    """

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    error: NDArray[np.float64]
    baseline: bool = False


@dataclass(frozen=True)
class CurvePanel:
    """Lines over one axis. unit: of y."""

    title: str
    x_name: str
    unit: str
    lines: Sequence[Line] = field(default_factory=tuple)


@dataclass(frozen=True)
class HistogramPanel:
    """Values of clips by name, finite and at least one each. unit: of the values. baselines: names drawn grey."""

    title: str
    unit: str
    values: Mapping[str, NDArray[np.float64]]
    baselines: frozenset[str] = frozenset()


def curve_chart(title: str, panels: Sequence[CurvePanel]) -> Image.Image:
    """Panels beside and below one another, with one legend for all at the right: a name has one colour everywhere."""
    names = {line.name: line.baseline for panel in panels for line in panel.lines}
    colours = line_colours(names)
    wide, high = _ALONE if len(panels) == 1 else _PANEL
    # Four are two pairs, as those of what is discarded first are.
    across = 2 if len(panels) == 4 else min(len(panels), _MOST_ACROSS)
    down = math.ceil(len(panels) / across)
    entries = {name: wrap(name, _TEXT, _LEGEND - 38 - _MARGIN, ",") for name in names}
    tall = max(down * (high + _MARGIN), sum(_entry_height(lines) for lines in entries.values()) + _HEAD + _MARGIN)
    width = 2 * _MARGIN + across * wide + _LEGEND
    canvas = _page(title, width, tall)
    for index, panel in enumerate(panels):
        left = _MARGIN + (index % across) * wide
        top = _HEAD + _MARGIN + (index // across) * (high + _MARGIN)
        canvas.paste(_curve_panel(panel, colours, wide, high), (left, top))
    _legend(canvas, (width - _LEGEND, 2 * _HEAD + _MARGIN), entries, names, colours)
    return canvas


def line_colours(names: Mapping[str, bool]) -> dict[str, Colour]:
    """A colour for each name, in order; grey for those that are baselines."""
    ours, theirs = iter(range(len(names))), iter(range(len(names)))
    return {
        name: _GREYS[next(theirs) % len(_GREYS)] if baseline else COLOURS[next(ours) % len(COLOURS)]
        for name, baseline in names.items()
    }


def histogram_chart(title: str, panels: Sequence[HistogramPanel]) -> Image.Image:
    """For each panel one histogram per name, below one another on one axis, with a tick at the mean."""
    names = {name: name in panel.baselines for panel in panels for name in panel.values}
    colours = line_colours(names)
    heights = [_HEAD + len(panel.values) * _ROW + _FOOT + _MARGIN for panel in panels]
    width = 900
    canvas = _page(title, width, sum(heights))
    top = _HEAD + _MARGIN
    for panel, height in zip(panels, heights, strict=True):
        canvas.paste(_histogram_panel(panel, colours, width - 2 * _MARGIN, height), (_MARGIN, top))
        top += height
    return canvas


def matrix_chart(title: str, matrices: Mapping[str, NDArray[np.float64]], x_name: str, y_name: str) -> Image.Image:
    """Matrices [rows, columns] beside one another, each on a scale of its own, drawn below it; NaN is blank."""
    sizes = {name: _matrix_size(matrix) for name, matrix in matrices.items()}
    width = 2 * _MARGIN + sum(_LEFT + across + _MARGIN for across, _ in sizes.values())
    tallest = max(down for _, down in sizes.values())
    canvas = _page(title, max(width, text_width(title, _TITLE) + 2 * _MARGIN), _HEAD + tallest + 70)
    left = _MARGIN + _LEFT
    top = 2 * _HEAD + _MARGIN
    for name, matrix in matrices.items():
        across, down = sizes[name]
        write(canvas, (left, top - 8), shorten(name, _TEXT, across), _TEXT, INK, "ld")
        peak, signed = _draw_matrix(canvas, (left, top), (across, down), matrix)
        rows, columns = matrix.shape
        _ends(canvas, (left, top + down + 6), across, "0", str(columns - 1), x_name)
        write(canvas, (left - 8, top), "0", _SMALL, FAINT, "ra")
        write(canvas, (left - 8, top + down), str(rows - 1), _SMALL, FAINT, "rd")
        _upright(canvas, (left - 30, top + down / 2), y_name, down)
        scale = min(across, 160)
        bar = top + down + 34
        canvas.paste(Image.fromarray(colour_bar(scale, 8, signed)), (left, bar))
        low = number(-peak) if signed else "0"
        _ends(canvas, (left, bar + 10), scale, low, number(peak), "")
        left += across + _LEFT + _MARGIN
    return canvas


def _page(title: str, width: int, height: int) -> Image.Image:
    canvas = Image.new("RGB", (width, height + _HEAD + _MARGIN), GROUND)
    write(canvas, (_MARGIN, _MARGIN), shorten(title, _TITLE, width - 2 * _MARGIN), _TITLE, INK)
    return canvas


def _entry_height(lines: Sequence[str]) -> int:
    return 6 + 18 * len(lines)


def _legend(
    canvas: Image.Image,
    place: tuple[int, int],
    entries: Mapping[str, Sequence[str]],
    names: Mapping[str, bool],
    colours: Mapping[str, Colour],
) -> None:
    """A stroke and the name of each line. entries: names broken into lines."""
    left, top = place
    for name, lines in entries.items():
        swatch = Image.new("RGB", (28 * _FINE, 12 * _FINE), GROUND)
        _stroke(ImageDraw.Draw(swatch), [(0, 6 * _FINE), (28 * _FINE, 6 * _FINE)], colours[name], names[name])
        canvas.paste(swatch.resize((28, 12), Image.Resampling.LANCZOS), (left, top + 3))
        for number_of, line in enumerate(lines):
            write(canvas, (left + 38, top + 18 * number_of), line, _TEXT, INK)
        top += _entry_height(lines)


def _curve_panel(panel: CurvePanel, colours: Mapping[str, Colour], width: int, height: int) -> Image.Image:
    canvas = Image.new("RGB", (width, height), GROUND)
    across, down = width - _LEFT - _MARGIN, height - _HEAD - _FOOT
    known = [(line, np.isfinite(line.y)) for line in panel.lines]
    known = [(line, there) for line, there in known if there.any()]
    write(canvas, (_LEFT, 4), shorten(panel.title, _TEXT, across), _TEXT, INK)
    if not known:
        write(canvas, (_LEFT + across / 2, _HEAD + down / 2), "no clip has it", _TEXT, FAINT, "mm")
        return canvas
    x_low = min(float(line.x[there][0]) for line, there in known)
    x_high = max(float(line.x[there][-1]) for line, there in known)
    ends = [line.y[there] + sign * np.nan_to_num(line.error[there]) for line, there in known for sign in (-1, 1)]
    y_low, y_high = float(min(end.min() for end in ends)), float(max(end.max() for end in ends))
    known_y = np.concatenate([line.y[there] for line, there in known])
    y_low, y_high = _whole_span(known_y, panel.unit) or (y_low, y_high)
    ticks = nice_ticks(y_low, y_high)
    y_low, y_high = min(y_low, ticks[0]), max(y_high, ticks[-1])
    plane = Image.new("RGB", (across * _FINE, down * _FINE), PANEL)
    draw = ImageDraw.Draw(plane, "RGBA")
    to_x = (across - 2 * _INSET) * _FINE / ((x_high - x_low) or 1.0)
    to_y = (down - 2 * _INSET) * _FINE / ((y_high - y_low) or 1.0)

    def points(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[tuple[float, float]]:
        return [
            (_INSET * _FINE + float(a - x_low) * to_x, (down - _INSET) * _FINE - float(b - y_low) * to_y)
            for a, b in zip(x, y, strict=True)
        ]

    for tick in ticks:
        (_, at), *_ = points(np.array([x_low]), np.array([tick]))
        draw.line((0, at, across * _FINE, at), fill=LINE, width=2)
        write(canvas, (_LEFT - 8, _HEAD + at / _FINE), number(tick), _SMALL, FAINT, "rm")
    bands = []
    for line, there in known:
        x, y, error = line.x[there], line.y[there], line.error[there]
        banded = np.isfinite(error)
        if banded.sum() > 1 and not line.baseline:
            upper = points(x[banded], np.clip((y + error)[banded], y_low, y_high))
            lower = points(x[banded], np.clip((y - error)[banded], y_low, y_high))
            bands.append((upper, lower, colours[line.name]))
    for upper, lower, colour in bands:
        # Many bands over one another would be a fog; their edges are seen through it.
        draw.polygon([*upper, *lower[::-1]], fill=(*colour, min(_BAND, 2 * _BAND // len(bands))))
        for edge in (upper, lower):
            draw.line(edge, fill=(*colour, _BAND_EDGE), width=_FINE)
    # Baselines first, so that the methods lie on them.
    for line, there in sorted(known, key=lambda pair: not pair[0].baseline):
        drawn = points(line.x[there], line.y[there])
        if len(drawn) > 1:
            _stroke(draw, drawn, colours[line.name], line.baseline)
        if len(drawn) <= 20:
            for at_x, at_y in drawn:
                reach = 3 * _FINE
                draw.ellipse((at_x - reach, at_y - reach, at_x + reach, at_y + reach), fill=colours[line.name])
    canvas.paste(plane.resize((across, down), Image.Resampling.LANCZOS), (_LEFT, _HEAD))
    _ends(canvas, (_LEFT, _HEAD + down + 7), across, number(x_low), number(x_high), panel.x_name)
    write(canvas, (_LEFT + across, 6), panel.unit, _SMALL, FAINT, "ra")
    return canvas


def _whole_span(values: NDArray[np.float64], unit: str) -> tuple[float, float] | None:
    """0 and everything for probabilities, shares and percents, which are seen against these; None for other numbers."""
    most = 100.0 if unit.startswith("%") else 1.0
    return (0.0, most) if values.min() >= 0 and values.max() <= most else None


def _stroke(draw: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], colour: Colour, dashed: bool) -> None:
    """A line through points, or its dashes: of one length along the line, however its points lie."""
    if not dashed:
        draw.line(list(points), fill=colour, width=2 * _FINE, joint="curve")
        return
    along, dash = 0.0, 6.0 * _FINE
    for (x0, y0), (x1, y1) in pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0)
        done = 0.0
        while done < length:
            step = min(dash - along % dash, length - done)
            if int(along // dash) % 2 == 0:
                a, b = done / length, (done + step) / length
                start = (x0 + a * (x1 - x0), y0 + a * (y1 - y0))
                draw.line([start, (x0 + b * (x1 - x0), y0 + b * (y1 - y0))], fill=colour, width=2 * _FINE)
            # The smallest step keeps rounding from standing still at the end of a dash.
            done += max(step, 1e-3)
            along += max(step, 1e-3)


def _histogram_panel(panel: HistogramPanel, colours: Mapping[str, Colour], width: int, height: int) -> Image.Image:
    canvas = Image.new("RGB", (width, height), GROUND)
    left = 240
    across, down = width - left - _MARGIN, len(panel.values) * _ROW
    write(canvas, (0, 6), shorten(panel.title, _TEXT, width - 120), _TEXT, INK)
    write(canvas, (width - _MARGIN, 8), panel.unit, _SMALL, FAINT, "ra")
    everything = np.concatenate(list(panel.values.values()))
    low, high = float(everything.min()), float(everything.max())
    if whole := _whole_span(everything, panel.unit):
        low, high = whole
    elif low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, int(np.clip(2 * math.sqrt(len(everything) / len(panel.values)), 10, 40)) + 1)
    plane = Image.new("RGB", (across, down), PANEL)
    draw = ImageDraw.Draw(plane)
    scale = across / (high - low)
    for row, (name, values) in enumerate(panel.values.items()):
        floor = (row + 1) * _ROW - 1
        counts = np.histogram(values, edges)[0]
        for count, begin, end in zip(counts, edges[:-1], edges[1:], strict=True):
            if count:
                tall = max(2, (_ROW - 8) * float(count) / float(counts.max()))
                box = ((begin - low) * scale, floor - tall, (end - low) * scale - 1, floor)
                draw.rectangle(box, fill=_dimmed(colours[name]))
        draw.line((0, floor, across, floor), fill=LINE)
        mean = (float(values.mean()) - low) * scale
        draw.line((mean, floor - _ROW + 5, mean, floor), fill=colours[name], width=3)
        write(canvas, (0, _HEAD + floor - _ROW / 2), shorten(name, _TEXT, left - 64), _TEXT, INK, "lm")
        write(canvas, (left - 10, _HEAD + floor - _ROW / 2), f"n {len(values)}", _SMALL, FAINT, "rm")
    canvas.paste(plane, (left, _HEAD))
    _ends(canvas, (left, _HEAD + down + 6), across, number(low), number(high), "")
    return canvas


def _dimmed(colour: Colour) -> Colour:
    mixed = [round(0.45 * ground + 0.55 * own) for ground, own in zip(PANEL, colour, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def _matrix_size(matrix: NDArray[np.float64]) -> tuple[int, int]:
    """Pixels across and down; cells are square, and whole where there are not too many."""
    rows, columns = matrix.shape
    cell = _TALLEST_MATRIX / max(rows, columns)
    cell = min(max(1.0, math.floor(cell)), 26.0) if cell >= 1 else cell
    return max(60, round(columns * cell)), max(60, round(rows * cell))


def _draw_matrix(
    canvas: Image.Image, place: tuple[int, int], size: tuple[int, int], matrix: NDArray[np.float64]
) -> tuple[float, bool]:
    """Draw a matrix; the value drawn at full strength, and whether negative ones are drawn as such."""
    values = np.nan_to_num(matrix, posinf=0.0, neginf=0.0).astype(np.float32)
    peak = float(np.abs(values).max(initial=0))
    signed = bool((values < -0.02 * peak).any())  # less is nothing to be seen
    colours, opacity = heat_colours(values / np.float32(peak or 1.0), signed)
    strength = np.clip(opacity[..., None] / OPACITY, 0, 1)
    cells = np.rint(np.array(PANEL) * (1 - strength) + colours * strength).astype(np.uint8)
    larger = cells.shape[1] <= size[0] and cells.shape[0] <= size[1]
    drawn = cv2.resize(cells, size, interpolation=cv2.INTER_NEAREST if larger else cv2.INTER_AREA)
    canvas.paste(Image.fromarray(np.asarray(drawn, np.uint8)), place)
    return peak, signed


def _ends(canvas: Image.Image, place: tuple[float, float], width: float, low: str, high: str, name: str) -> None:
    """The ends of a horizontal axis and its name between them."""
    left, top = place
    write(canvas, (left, top), low, _SMALL, FAINT)
    write(canvas, (left + width, top), high, _SMALL, FAINT, "ra")
    room = width - text_width(low, _SMALL) - text_width(high, _SMALL) - 20
    if name and room > 20:
        write(canvas, (left + width / 2, top), shorten(name, _SMALL, int(room)), _SMALL, FAINT, "ma")


def _upright(canvas: Image.Image, place: tuple[float, float], text: str, room: int) -> None:
    """Text that reads upwards, centred at a place."""
    text = shorten(text, _SMALL, room)
    strip = Image.new("RGB", (text_width(text, _SMALL) + 2, _SMALL + 6), GROUND)
    write(strip, (0, 1), text, _SMALL, FAINT)
    turned = strip.transpose(Image.Transpose.ROTATE_90)
    canvas.paste(turned, (round(place[0] - turned.width / 2), round(place[1] - turned.height / 2)))


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Up to `most` round numbers that span low .. high, steps of 1, 2 or 5 times a power of ten.

    Where both are one number, some room around it.
    """
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        # One number, or what rounding makes of it.
        room = max(0.5, 0.05 * abs(low))
        low, high = low - room, high + room
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if _count(low, high, factor * power) <= most)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _count(low: float, high: float, step: float) -> int:
    return math.ceil(high / step - 1e-9) - math.floor(low / step + 1e-9) + 1
