"""The plots of a set: which there are, and that they are pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from PIL import Image

from service.evaluation import report_plots as report_plots_module
from service.evaluation.evaluated_set import EvaluatedSet
from service.evaluation.report_plots import report_plots
from service.rendering.charts import CurvePanel, curve_chart
from tests.service.evaluation.evaluated_clips import eight_clips, evaluated


def test_each_measure_has_its_curves_and_histograms() -> None:
    plots = dict(report_plots(EvaluatedSet(eight_clips())))
    assert list(plots) == ["insertion.curves.png", "insertion.histograms.png"]
    for data in plots.values():
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "PNG"
            assert image.width >= 900


def test_a_curve_of_fewer_clips_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[CurvePanel] = []

    def noted(title: str, panels: Sequence[CurvePanel]) -> Image.Image:
        drawn.extend(panels)
        return curve_chart(title, panels)

    monkeypatch.setattr(report_plots_module, "curve_chart", noted)
    dict(report_plots(EvaluatedSet([evaluated("a", {"dtd": 1.0, "atr": 2.0}), evaluated("b", {"dtd": 3.0})])))
    assert [line.name for line in drawn[0].lines] == ["dtd", "atr (1)"]


def test_names_of_measures_become_names_of_files() -> None:
    clip = evaluated("a", {"dtd": 1.0})
    for row in clip.evaluation.rows:
        row.measure = "insertion:steps=16,blank=../a"
    clip.evaluation.curves[0].measure = "insertion:steps=16,blank=../a"
    assert list(dict(report_plots(EvaluatedSet([clip])))) == [
        "insertion-steps-16-blank-..-a.curves.png",
        "insertion-steps-16-blank-..-a.histograms.png",
    ]


def test_matrices_are_drawn_of_their_measure() -> None:
    clip = evaluated("a", {"atr": 1.0})
    arrays = {"insertion/atr/matrix": clip.arrays["lengths/atr/matrix"]}
    found = EvaluatedSet([type(clip)("a", clip.evaluation, arrays)])
    assert "insertion.matrix.png" in dict(report_plots(found))


def test_nothing_measured_draws_nothing() -> None:
    assert list(report_plots(EvaluatedSet([evaluated("a", {"dtd": "no"})]))) == []
