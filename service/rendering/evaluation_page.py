"""Draws what measures found on a page: a table of numbers, and their curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actionlens.v1 import answer_pb2, explanation_pb2
from service.rendering.colours import ACCENT, FAINT, GROUND, INK
from service.rendering.plot import plots
from service.rendering.text import number, shorten, wrap, write

_WIDTH, _MARGIN = 1200, 40
_INNER = _WIDTH - 2 * _MARGIN
_PLOT_HEIGHT = 190
_ROW = 22
_TOGETHER = 3
"""Methods in one plot, beside random explanations."""
_NAMES = 350
"""Pixels for the names of methods."""
_BETWEEN = "   "
_RANDOM = "random"


def evaluation_page(answer: answer_pb2.Answer) -> NDArray[np.uint8]:
    """Draw an evaluation, the answer's one explanation: uint8 [H, 1200, 3] RGB, as high as it needs to be.

    Title and reading; for each measure a line per method with its numbers, or why it has none, and plots of its curves,
    three methods and the random explanations in each.
    """
    explanation = answer.explanations[0]
    evaluation = explanation.evaluation
    parts = [_header(answer, explanation)]
    for measure in dict.fromkeys(row.measure for row in evaluation.rows):
        rows = [row for row in evaluation.rows if row.measure == measure]
        parts += [_title(measure), *_table(rows)]
        parts += _plots([curve for curve in evaluation.curves if curve.measure == measure])
    page = Image.new("RGB", (_WIDTH, sum(part.height for part in parts) + 2 * _MARGIN), GROUND)
    top = _MARGIN
    for part in parts:
        page.paste(part, (_MARGIN, top))
        top += part.height
    return np.asarray(page).copy()


def _header(answer: answer_pb2.Answer, explanation: explanation_pb2.Explanation) -> Image.Image:
    lines = wrap(explanation.reading, 17, _INNER)
    canvas = Image.new("RGB", (_INNER, 78 + _ROW * len(lines)), GROUND)
    target = explanation.target
    write(canvas, (0, 0), shorten(f"Explanations of “{target.label}”, measured", 30, _INNER), 30, INK)
    top = answer.prediction.top[0] if answer.prediction.top else target
    facts = [answer.model, f"probability {100 * target.probability:.1f} %", f"top-1 {top.label}"]
    if explanation.provenance.HasField("seed"):
        facts.append(f"seed {explanation.provenance.seed}")
    write(canvas, (0, 44), "  ·  ".join(filter(None, facts)), 15, FAINT)
    for index, line in enumerate(lines):
        write(canvas, (0, 70 + _ROW * index), line, 17, ACCENT)
    return canvas


def _title(measure: str) -> Image.Image:
    canvas = Image.new("RGB", (_INNER, 56), GROUND)
    write(canvas, (0, 22), shorten(measure, 22, _INNER), 22, INK)
    return canvas


def _table(rows: Sequence[explanation_pb2.EvaluationRow]) -> list[Image.Image]:
    lines = []
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        told = wrap(_BETWEEN.join(f"{row.value} {_told(row)}".strip() for row in own), 15, _INNER - _NAMES, _BETWEEN)
        canvas = Image.new("RGB", (_INNER, _ROW * len(told)), GROUND)
        colour = FAINT if own[0].baseline else INK
        write(canvas, (0, 2), shorten(method or "the clip", 15, _NAMES - 20), 15, colour)
        for index, line in enumerate(told):
            write(canvas, (_NAMES, 2 + _ROW * index), line, 15, colour)
        lines.append(canvas)
    return lines


def _told(row: explanation_pb2.EvaluationRow) -> str:
    if not row.HasField("number"):
        return f"none ({row.left_out})"
    return f"{number(row.number)} {row.unit if row.unit != 'probability' else ''}".strip()


def _plots(curves: Sequence[explanation_pb2.EvaluationCurve]) -> list[Image.Image]:
    drawn = []
    for name in dict.fromkeys(entry.curve.name for entry in curves):
        own = [entry for entry in curves if entry.curve.name == name]
        noise = [entry for entry in own if entry.baseline and entry.method == _RANDOM]
        others = [entry for entry in own if entry not in noise]
        groups = [
            [_named(entry) for entry in (*others[first : first + _TOGETHER], *noise)]
            for first in range(0, max(len(others), 1), _TOGETHER)
        ]
        # Shares are drawn in one plot, on a half of the width; all else side by side.
        columns = 2 if all(0 <= value <= 1 for group in groups for curve in group for value in curve.y) else 1
        width = _INNER - 24 * (columns - 1)
        images = list(filter(None, (plots(group, width, _PLOT_HEIGHT) for group in groups)))
        for first in range(0, len(images), columns):
            canvas = Image.new("RGB", (_INNER, _PLOT_HEIGHT + 44), GROUND)
            write(canvas, (0, 14), shorten(name, 15, _INNER), 15, FAINT)
            for column, image in enumerate(images[first : first + columns]):
                canvas.paste(
                    image.crop((0, 0, _INNER // columns - 12, _PLOT_HEIGHT)), (column * (_INNER // 2 + 12), 38)
                )
            drawn.append(canvas)
    return drawn


def _named(entry: explanation_pb2.EvaluationCurve) -> explanation_pb2.Curve:
    """The curve by its method's name; per cent as shares, which share a plot from 0 to 1."""
    curve = entry.curve
    name = entry.method or "the clip"
    if curve.unit != "%":
        return explanation_pb2.Curve(name=name, x_name=curve.x_name, x=curve.x, y=curve.y, unit=curve.unit)
    shares = [value / 100 for value in curve.y]
    return explanation_pb2.Curve(name=name, x_name=curve.x_name, x=curve.x, y=shares, unit="share")
