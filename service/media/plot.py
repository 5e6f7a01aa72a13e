"""Small plots of series: an objective over its iterations, a score as frames are discarded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from actionlens.v1 import explanation_pb2
from service.media.colours import ACCENT, AGAINST, FAINT, GROUND, INK, LINE, PANEL
from service.media.lettering import number, shorten, text_width, write

_FINE = 3
_SMALL = 13
_TITLE, _FOOT, _MARGIN = 26, 22, 10
_SCALE = 64
"""Room at the right for the numbers of the scale."""
_MOST = 4
_COLOURS = (ACCENT, AGAINST)


def plots(curves: Sequence[explanation_pb2.Curve], width: int, height: int = 150) -> Image.Image | None:
    """Up to four plots side by side on `width` pixels; None when no series has two points.

    Series over the same thing share a plot, two at most: the second is blue.
    """
    drawn = [curve for curve in curves if len(curve.y) > 1 and len(curve.x) == len(curve.y)]
    groups: list[list[explanation_pb2.Curve]] = []
    for curve in drawn:
        mate = next((group for group in groups if group[0].x_name == curve.x_name and len(group) == 1), None)
        if mate is not None and np.array_equal(mate[0].x, curve.x):
            mate.append(curve)
        else:
            groups.append([curve])
    if not groups:
        return None
    groups = groups[:_MOST]
    gap = 24
    each = min((width - gap * (len(groups) - 1)) // len(groups), width // 2)
    canvas = Image.new("RGB", (width, height), GROUND)
    for place, group in enumerate(groups):
        canvas.paste(_plot(group, each, height), (place * (each + gap), 0))
    return canvas


def _plot(group: Sequence[explanation_pb2.Curve], width: int, height: int) -> Image.Image:
    canvas = Image.new("RGB", (width, height), GROUND)
    left = 0
    for curve, colour in zip(group, _COLOURS, strict=False):
        name = shorten(curve.name, 15, (width - 24) // len(group))
        write(canvas, (left, 4), name, 15, colour if len(group) > 1 else INK)
        left += text_width(name, 15) + 20
    x = np.asarray(group[0].x, np.float64)
    lines = [np.asarray(curve.y, np.float64) for curve in group]
    known = np.concatenate([line[np.isfinite(line)] for line in lines])
    # Scores and shares are seen against nothing and everything; other series on their own range.
    within = bool(len(known)) and float(known.min()) >= 0 and float(known.max()) <= 1
    low, high = (0.0, 1.0) if within else (float(known.min(initial=np.inf)), float(known.max(initial=-np.inf)))
    if not len(known):
        low, high = 0.0, 1.0
    room = height - _TITLE - _FOOT
    panel = Image.new("RGB", (width * _FINE, room * _FINE), PANEL)
    draw = ImageDraw.Draw(panel)
    across = (width - 2 * _MARGIN - _SCALE) * _FINE / (float(x[-1] - x[0]) or 1.0)
    up = (room - 2 * _MARGIN) * _FINE / ((high - low) or 1.0)
    floor = (room - _MARGIN) * _FINE
    draw.line((0, floor, (width - _SCALE) * _FINE, floor), fill=LINE, width=_FINE)
    for line, colour in zip(lines, _COLOURS, strict=False):
        points = [
            (_MARGIN * _FINE + float(a - x[0]) * across, floor - float(b - low) * up)
            for a, b in zip(x, line, strict=True)
            if np.isfinite(b)
        ]
        if len(points) > 1:
            draw.line(points, fill=colour, width=2 * _FINE, joint="curve")
    canvas.paste(panel.resize((width, room), Image.Resampling.LANCZOS), (0, _TITLE))
    write(canvas, (width - 8, _TITLE + 6), number(high), _SMALL, FAINT, "ra")
    write(canvas, (width - 8, height - _FOOT - 6), number(low), _SMALL, FAINT, "rd")
    first, last = number(float(x[0])), number(float(x[-1]))
    write(canvas, (0, height - _FOOT + 5), first, _SMALL, FAINT)
    write(canvas, (width - _SCALE, height - _FOOT + 5), last, _SMALL, FAINT, "ra")
    middle = width - _SCALE - text_width(first, _SMALL) - text_width(last, _SMALL) - 20
    write(
        canvas,
        ((width - _SCALE) / 2, height - _FOOT + 5),
        shorten(group[0].x_name, _SMALL, middle),
        _SMALL,
        FAINT,
        "ma",
    )
    return canvas
