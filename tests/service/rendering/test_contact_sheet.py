from __future__ import annotations

import numpy as np
import pytest

from actionlens.v1 import answer_pb2, explanation_pb2
from service.readings.explanation import TimeWindow
from service.rendering.colours import ACCENT, GROUND
from service.rendering.contact_sheet import contact_sheet
from service.rendering.strip import TimeAxis, bar_strip, curve_strip, matrix_strip
from tests.service.rendering.explanations import attribution, grey, matrix, profile, report, saliency


def prediction(*probabilities):
    made = explanation_pb2.Prediction()
    for index, probability in enumerate(probabilities):
        made.top.add(index=index, label=f"class_{index}", probability=probability)
    return made


def close_to(image, colour, tolerance=12):
    return (np.abs(image.astype(int) - np.asarray(colour)) <= tolerance).all(-1)


def test_every_kind_of_explanation_gets_its_rows():
    frames = grey(16, 60, 80)
    seen = report(range(16), timestamps=np.arange(16) / 10, effective_fps=10)
    bare = contact_sheet(frames, prediction(0.9, 0.1), [], seen)
    assert bare.shape[1] == 1680
    assert (bare[0, 0] == GROUND).all()
    kinds = [
        saliency(np.random.default_rng(0).random((4, 5, 5))),
        matrix(np.eye(16), [1] * 16, 3.0),
        attribution(np.arange(16) - 5.0),
        explanation_pb2.Explanation(failure=explanation_pb2.Failure(message="cannot")),
    ]
    heights = [contact_sheet(frames, prediction(0.9), [kind], seen).shape[0] for kind in kinds]
    assert min(heights) > bare.shape[0]
    together = contact_sheet(frames, prediction(0.9), kinds, seen)
    assert together.shape[0] - bare.shape[0] == sum(height - bare.shape[0] for height in heights)


@pytest.mark.parametrize("shape", [(1, 60, 80), (3, 200, 50), (40, 40, 300), (512, 20, 20)])
def test_any_number_and_shape_of_frames(shape):
    count = shape[0]
    sheet = contact_sheet(grey(*shape), prediction(), [profile(*range(1, 5))], report(range(count)))
    assert sheet.shape[1:] == (1680, 3)
    assert sheet.shape[0] < 2000


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match="frames"):
        contact_sheet(grey(0, 10, 10), prediction(), [], answer_pb2.FrameReport())


def test_probabilities_are_drawn_to_scale():
    def longest_bar(probability):
        head = contact_sheet(grey(8, 60, 80), prediction(probability), [], report(range(8)))[:90, 1000:1570]
        return close_to(head, ACCENT).sum(1).max()

    assert longest_bar(0.8) / longest_bar(0.4) == pytest.approx(2, rel=0.03)


AXIS = TimeAxis(width=400, frames=8, origin=25, step=50)


def test_curve_peaks_over_its_frame():
    relevance = np.array([0, 0, 0, 0, 0, 9, 0, 0.0])
    strip = np.asarray(curve_strip(AXIS, 72, relevance).convert("RGB"))
    rows, columns = np.nonzero(close_to(strip, ACCENT, 40))
    assert abs(columns[rows == rows.min()].mean() - AXIS.x(5)) <= 2
    assert rows.min() < 15


def test_the_window_of_the_reading_is_shaded_as_wide_as_its_frames():
    plain = np.asarray(curve_strip(AXIS, 72, np.zeros(8)).convert("RGB")).astype(int)
    shaded = np.asarray(curve_strip(AXIS, 72, np.zeros(8), TimeWindow(2, 4, 0.7)).convert("RGB")).astype(int)
    columns = np.nonzero(np.abs(plain - shaded).sum((0, 2)))[0]
    assert columns.min() == pytest.approx(100, abs=2)
    assert columns.max() == pytest.approx(249, abs=2)


def test_bars_stand_up_for_and_hang_down_against():
    strip = np.asarray(bar_strip(AXIS, 100, np.array([0, 4, 0, 0, -2, 0, 0, 0.0])).convert("RGB"))
    up = np.nonzero(close_to(strip, ACCENT))
    assert up[1].mean() == pytest.approx(AXIS.x(1), abs=2)
    down = np.nonzero((strip[..., 2] > 200) & (strip[..., 0] < 120))
    assert down[1].mean() == pytest.approx(AXIS.x(4), abs=2)
    assert np.ptp(up[0]) == pytest.approx(2 * np.ptp(down[0]), abs=4)
    assert up[0].max() <= down[0].min() + 1


def test_matrix_columns_stand_under_their_frames():
    values = np.zeros((4, 8), np.float32)
    values[1, 6] = 3
    strip = np.asarray(matrix_strip(AXIS, values).convert("RGB"))
    rows, columns = np.nonzero(strip.max(-1) > 200)
    assert columns.mean() == pytest.approx(AXIS.x(6), abs=2)
    assert rows.mean() / strip.shape[0] == pytest.approx(1.5 / 4, abs=0.03)
