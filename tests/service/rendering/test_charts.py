"""Charts: sizes, and ink where the numbers are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.rendering.charts import (
    COLOURS,
    CurvePanel,
    HistogramPanel,
    Line,
    curve_chart,
    histogram_chart,
    line_colours,
    matrix_chart,
    nice_ticks,
)
from service.rendering.colours import GROUND
from service.rendering.text import Colour

X = np.linspace(0, 1, 11)


def near(image: Image.Image, colour: Colour, within: int = 25) -> NDArray[np.bool_]:
    return np.asarray(np.abs(np.asarray(image).astype(int) - colour).max(axis=2) < within)


def line(name: str, y: NDArray[np.float64], error: float = np.nan, baseline: bool = False) -> Line:
    return Line(name, X, y, np.full(11, error), baseline)


def test_a_curve_rises_where_its_numbers_do() -> None:
    panel = CurvePanel("insertion", "share", "probability", [line("dtd", X)])
    image = curve_chart("t", [panel])
    ink = near(image, COLOURS[0])
    rows, columns = np.nonzero(ink[:, : image.width - 300])
    assert len(rows) > 500
    left, right = rows[columns < columns.min() + 20].mean(), rows[columns > columns.max() - 20].mean()
    assert left > right + 250
    # Its entry in the legend.
    assert ink[:, image.width - 300 :].sum() > 20


def test_a_band_is_there_with_an_error_alone() -> None:
    def faint(error: float) -> int:
        image = curve_chart("t", [CurvePanel("p", "x", "", [line("a", np.full(11, 0.5), error)])])
        pixels = np.asarray(image).astype(int)
        # A mix of the line's colour and the panel, far from both.
        return int(((pixels[..., 0] - pixels[..., 2] > 15) & (pixels[..., 0] < 150)).sum())

    assert faint(0.1) > faint(np.nan) + 10_000


def test_baselines_are_dashed_and_grey() -> None:
    assert line_colours({"a": False, "random": True, "b": False})["b"] == COLOURS[1]
    grey = line_colours({"random": True})["random"]
    assert max(grey) - min(grey) < 40

    def covered(baseline: bool) -> float:
        """The share of the columns that the line is in."""
        image = curve_chart("t", [CurvePanel("p", "x", "", [line("random", np.full(11, 0.5), baseline=baseline)])])
        middle = 30 + 18 + 30 + 340 // 2  # head, margin, the panel's head, half its height
        strip = image.crop((100, middle - 10, 600, middle + 10))
        return float(near(strip, grey if baseline else COLOURS[0], 70).any(axis=0).mean())

    assert covered(False) == 1
    assert 0.35 < covered(True) < 0.75


@pytest.mark.parametrize(("count", "across", "down"), [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 2, 2), (7, 3, 3)])
def test_panels_lie_in_rows_of_three(count: int, across: int, down: int) -> None:
    image = curve_chart("t", [CurvePanel("p", "x", "", [line("a", X)])] * count)
    wide, high = (640, 400) if count == 1 else (430, 300)
    assert image.width == across * wide + 336
    assert image.height == 48 + down * (high + 18)


@pytest.mark.parametrize(
    "y",
    [np.full(11, np.nan), np.zeros(11), np.full(11, -1e30), np.linspace(0, 1e-30, 11), np.eye(11)[0]],
)
def test_any_numbers_are_drawn(y: NDArray[np.float64]) -> None:
    assert curve_chart("t", [CurvePanel("p", "x", "", [line("a", y, 0.1)])]).width == 976


def test_a_legend_of_many_long_names_fits() -> None:
    lines = [line(f"selective-relevance:threshold={n},base=grad-cam,upsample=true", X) for n in range(20)]
    image = curve_chart("t", [CurvePanel("p", "x", "", lines)])
    assert (np.asarray(image)[-12:] == GROUND).all()


def test_histograms_have_a_row_each_and_their_mean() -> None:
    values = {"dtd": np.array([0.25, 0.25, 0.75, 0.75]), "random": np.array([0.0])}
    image = histogram_chart("t", [HistogramPanel("insertion", "probability", values, frozenset({"random"}))])
    assert image.size == (900, 30 + 2 * 40 + 30 + 18 + 48)
    ink = near(image, COLOURS[0])
    # The mean of dtd is in the middle of the axis.
    columns = np.nonzero(ink.any(axis=0))[0]
    assert abs(columns.mean() - (18 + 240 + (900 - 36 - 240 - 18) / 2)) < 4


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [-1e9, 1e9], [0.0] * 500])
def test_any_values_have_a_histogram(values: list[float]) -> None:
    assert histogram_chart("t", [HistogramPanel("v", "", {"a": np.array(values)})]).width == 900


def test_a_matrix_is_brightest_where_it_is_largest() -> None:
    matrix = np.zeros((16, 16))
    matrix[3, 12] = 1
    image = matrix_chart("t", {"atr": matrix}, "input frame", "output step")
    pixels = np.asarray(image.convert("L")).astype(int)
    cell = 26
    left, top = 18 + 58, 2 * 30 + 18
    inside = pixels[top + 3 * cell + 4 : top + 4 * cell - 4, left + 12 * cell + 4 : left + 13 * cell - 4]
    others = pixels[top : top + 3 * cell, left : left + 16 * cell]
    assert inside.min() > others.max() + 100


@pytest.mark.parametrize("shape", [(1, 2), (400, 3), (3, 400), (512, 512)])
def test_matrices_of_any_shape_fit(shape: tuple[int, int]) -> None:
    image = matrix_chart("t", {"a": np.full(shape, -2.0), "b": np.full(shape, np.nan)}, "x", "y")
    assert image.height <= 600
    assert image.width <= 1100


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-3, 97, [-50, 0, 50, 100]),
        (0, 0, [-0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6]),
        (-1e30, -1e30, []),
        (1e16, 1e16 + 4, []),
        (0.71, 0.74, [0.71, 0.72, 0.73, 0.74]),
    ],
)
def test_ticks_are_round_and_span(low: float, high: float, ticks: list[float]) -> None:
    found = nice_ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert len(found) <= 6
    if ticks and high > low:
        assert found == pytest.approx(ticks)
