"""Draws the plots of an evaluated set. Needs the extra `media`."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.evaluation.evaluated_set import EvaluatedSet, MeanCurve
from service.evaluation.measurement import WEIGHT
from service.evaluation.sentences import direction
from service.rendering.charts import (
    CurvePanel,
    HistogramPanel,
    Line,
    curve_chart,
    histogram_chart,
    matrix_chart,
)
from service.unique_names import distinct

_MOST_PANELS = 12


def report_plots(found: EvaluatedSet) -> Iterator[tuple[str, bytes]]:
    """File names and PNG files: per measure its mean curves, histograms of its numbers, and its mean matrices.

    "insertion.curves.png", "insertion.histograms.png", "temporal-relevance-lengths.matrix.png".
    """
    stems = dict(zip(found.measures, distinct(map(_stem, found.measures)), strict=True))
    clips = f"{len(found.clips)} clip{'s' if len(found.clips) != 1 else ''}"
    for measure, stem in stems.items():
        if panels := _curve_panels([curve for curve in found.curves if curve.measure == measure], len(found.clips)):
            title = f"{measure}: mean over {clips}, and standard error"
            yield f"{stem}.curves.png", _png(curve_chart(title, panels))
        if histograms := _histogram_panels(found, measure):
            title = f"{measure} of {clips}; the line is the mean"
            yield f"{stem}.histograms.png", _png(histogram_chart(title, histograms))
        names = dict.fromkeys(matrix.name for matrix in found.matrices if matrix.measure == measure)
        for name, own in zip(names, distinct(f"{stem}.{_stem(name)}" for name in names), strict=True):
            matrices: dict[str, NDArray[np.float64]] = {
                f"{matrix.method} ({matrix.clips})": matrix.mean
                for matrix in found.matrices
                if (matrix.measure, matrix.name) == (measure, name)
            }
            yield f"{own}.png", _png(matrix_chart(f"{measure}: mean {name}", matrices, "input frame", "output step"))


def _curve_panels(curves: list[MeanCurve], usual: int) -> list[CurvePanel]:
    """usual: the number of clips that need not be said."""
    panels: dict[tuple[str, str, str], list[Line]] = {}
    clips: dict[str, int] = {}
    for curve in curves:
        clips[curve.method] = max(clips.get(curve.method, 0), int(curve.pooled.n.max(initial=0)))
    for curve in curves:
        count = clips[curve.method]
        name = (curve.method or "each clip") + ("" if count == usual else f" ({count})")
        line = Line(name, curve.pooled.x, curve.pooled.mean, curve.pooled.error, curve.baseline)
        panels.setdefault((curve.name, curve.x_name, curve.unit), []).append(line)
    return [
        CurvePanel(name, x_name, unit, lines)
        for (name, x_name, unit), lines in panels.items()
        if any(len(line.x) > 1 for line in lines)
    ][:_MOST_PANELS]


def _histogram_panels(found: EvaluatedSet, measure: str) -> list[HistogramPanel]:
    panels = []
    for own, value in found.values:
        if own != measure or value == WEIGHT:
            continue
        lines = [line for line in found.summaries if (line.measure, line.value) == (measure, value) and line.n]
        numbers = {line.method: found.table.numbers(measure, value, [line.method])[:, 0] for line in lines}
        values = {method or "each clip": own[np.isfinite(own)] for method, own in numbers.items()}
        if values:
            unit = next((line.unit for line in lines if line.unit), "")
            about = ", ".join(filter(None, (unit, direction(found.table.better(measure, value)))))
            panels.append(HistogramPanel(value, about, values, found.baselines))
    return panels[:_MOST_PANELS]


def _stem(name: str) -> str:
    """A name as a part of file names."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.")[:80] or "measure"


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()
