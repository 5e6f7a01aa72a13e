"""Draws small plots of series: an objective over its iterations, a score as frames are discarded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from actionlens.v1 import explanation_pb2
from service.rendering.colours import ACCENT, AGAINST, FAINT, GROUND, INK, LINE, PANEL
from service.rendering.text import number, shorten, text_width, write

_FINE = 3
_SMALL = 13
_TITLE, _FOOT, _MARGIN = 26, 22, 10
_SCALE = 64
"""Room at the right for the numbers of the scale."""
_MOST = 4
_COLOURS = (ACCENT, AGAINST, INK, FAINT)


def plots(curves: Sequence[explanation_pb2.Curve], width: int, height: int = 150) -> Image.Image | None:
    """Up to four plots side by side on `width` pixels; None when no series has two points.

    Series that differ by a number in their names share a plot ("objective 0.01", "objective 0.05"), and so do scores
    and shares (0 .. 1) of one unit over the same thing.
    """
    groups: dict[tuple[str, str, str], list[explanation_pb2.Curve]] = {}
    for curve in curves:
        if len(curve.y) > 1 and len(curve.x) == len(curve.y):
            groups.setdefault((curve.x_name, curve.unit, _kind(curve)), []).append(curve)
    drawn = [group[: len(_COLOURS)] for group in groups.values()][:_MOST]
    if not drawn:
        return None
    gap = 24
    each = min((width - gap * (len(drawn) - 1)) // len(drawn), width // 2)
    canvas = Image.new("RGB", (width, height), GROUND)
    for index, group in enumerate(drawn):
        canvas.paste(_plot(group, each, height), (index * (each + gap), 0))
    return canvas


def _kind(curve: explanation_pb2.Curve) -> str:
    """A key that series must have in common to share a plot."""
    stem, _, last = curve.name.rpartition(" ")
    try:
        float(last)
    except ValueError:
        return "" if all(0 <= value <= 1 for value in curve.y) else curve.name
    return stem or curve.name


def _plot(group: Sequence[explanation_pb2.Curve], width: int, height: int) -> Image.Image:
    canvas = Image.new("RGB", (width, height), GROUND)
    left, unit = 0, group[0].unit
    write(canvas, (width - 8, 6), unit, _SMALL, FAINT, "ra")
    room_for_names = width - 24 - (text_width(unit, _SMALL) + 20 if unit else 0)
    for curve, colour in zip(group, _COLOURS, strict=False):
        name = shorten(curve.name, 15, room_for_names // len(group))
        write(canvas, (left, 4), name, 15, colour if len(group) > 1 else INK)
        left += text_width(name, 15) + 20
    lines = [(np.asarray(curve.x, np.float64), np.asarray(curve.y, np.float64)) for curve in group]
    first, last = (float(edge) for edge in (min(x[0] for x, _ in lines), max(x[-1] for x, _ in lines)))
    known = np.concatenate([y[np.isfinite(y)] for _, y in lines])
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if low >= 0 and high <= 1:
        # Scores and shares are seen against nothing and everything; other series on their own range.
        low, high = 0.0, 1.0
    room = height - _TITLE - _FOOT
    panel = Image.new("RGB", (width * _FINE, room * _FINE), PANEL)
    draw = ImageDraw.Draw(panel)
    across = (width - 2 * _MARGIN - _SCALE) * _FINE / ((last - first) or 1.0)
    up = (room - 2 * _MARGIN) * _FINE / ((high - low) or 1.0)
    floor = (room - _MARGIN) * _FINE
    draw.line((0, floor, (width - _SCALE) * _FINE, floor), fill=LINE, width=_FINE)
    for (x, y), colour in zip(lines, _COLOURS, strict=False):
        points = [
            (_MARGIN * _FINE + float(a - first) * across, floor - float(b - low) * up)
            for a, b in zip(x, y, strict=True)
            if np.isfinite(b)
        ]
        if len(points) > 1:
            draw.line(points, fill=colour, width=2 * _FINE, joint="curve")
    canvas.paste(panel.resize((width, room), Image.Resampling.LANCZOS), (0, _TITLE))
    write(canvas, (width - 8, _TITLE + 6), number(high), _SMALL, FAINT, "ra")
    write(canvas, (width - 8, height - _FOOT - 6), number(low), _SMALL, FAINT, "rd")
    begin, end = number(first), number(last)
    write(canvas, (0, height - _FOOT + 5), begin, _SMALL, FAINT)
    write(canvas, (width - _SCALE, height - _FOOT + 5), end, _SMALL, FAINT, "ra")
    middle = width - _SCALE - text_width(begin, _SMALL) - text_width(end, _SMALL) - 20
    write(
        canvas,
        ((width - _SCALE) / 2, height - _FOOT + 5),
        shorten(group[0].x_name, _SMALL, middle),
        _SMALL,
        FAINT,
        "ma",
    )
    return canvas
