from __future__ import annotations

import numpy as np
import pytest

from actionlens.tensors import to_tensor
from actionlens.v1 import explanation_pb2
from service.rendering.colours import ACCENT, AGAINST, FAINT, INK
from service.rendering.contact_sheet import contact_sheet
from service.rendering.plot import plots
from service.rendering.strip import TimeAxis, bar_strip
from service.rendering.timeline import timeline
from tests.service.rendering.explanations import attribution, grey, report, saliency
from tests.service.rendering.test_contact_sheet import close_to, prediction


def curve(name, y, x=None, x_name="iteration"):
    return explanation_pb2.Curve(name=name, x_name=x_name, x=range(len(y)) if x is None else x, y=y)


def sheet(explanation, frames=16):
    return contact_sheet(grey(frames, 60, 80), prediction(0.9, 0.1), [explanation], report(range(frames)))


def test_no_series_no_plot():
    assert plots([], 800) is None
    assert plots([curve("one point", [1.0])], 800) is None


def test_series_over_the_same_share_a_plot_and_others_do_not():
    falling = [0.9, 0.5, 0.1]
    together = [curve(f"objective {area}", [5 * y for y in falling]) for area in ("0.01", "0.05", "0.1", "0.2")]
    drawn = np.asarray(plots(together, 1000))
    assert all(close_to(drawn[:, :500], colour, 30).any() for colour in (ACCENT, AGAINST, INK, FAINT))
    # One plot takes half of the width; the rest is empty.
    assert (drawn[:, 520:] == drawn[0, -1]).all()
    apart = np.asarray(plots([curve("objective", [-3.0, 2.0]), curve("score", falling)], 1000))
    assert close_to(apart[30:120, 520:], ACCENT, 30).any()
    assert not close_to(apart[30:120], AGAINST, 30).any()


def test_a_score_is_drawn_between_nothing_and_everything():
    def lowest_pixel(values):
        drawn = np.asarray(plots([curve("score", values)], 1000))[26:128, :400]
        return np.flatnonzero(close_to(drawn, ACCENT, 40).any(1)).max()

    assert lowest_pixel([0.9, 0.9, 0.9]) < lowest_pixel([0.5, 0.5, 0.5]) < lowest_pixel([0.1, 0.1, 0.1])


@pytest.mark.parametrize("y", [[np.nan, np.nan], [np.inf, 1.0, 2.0], [3.0, 3.0], [0.0, 0.0]])
def test_any_series_is_drawn(y):
    assert plots([curve("c", y)], 300) is not None
    assert plots([curve("c", y, x=[5.0] * len(y))], 300) is not None


def test_a_scale_is_shared_when_it_is_given():
    axis = TimeAxis(width=100, frames=4, origin=12, step=25)

    def height(span):
        drawn = np.asarray(bar_strip(axis, 60, np.array([0, 1.0, 0, 0]), span))[..., :3]
        return close_to(drawn, ACCENT).any(1).sum()

    assert height((0.0, 1.0)) > 1.8 * height((0.0, 2.0))


def test_the_largest_classes_are_drawn_on_one_scale_below_the_target():
    values = np.zeros((16, 10), np.float32)
    values[3], values[5, 1] = 1.0, -0.5
    of_all = attribution(values[:, 0])
    of_all.arrays["values_by_class"].CopyFrom(to_tensor(values))
    of_one = attribution(values[:, 0])
    two_classes, one_class = sheet(of_all), sheet(of_one)
    assert two_classes.shape[0] > one_class.shape[0]
    assert close_to(two_classes, AGAINST).any()
    assert not close_to(one_class, AGAINST).any()


def test_arrays_series_numbers_and_notes_get_their_places():
    heights = [sheet(attribution(np.arange(16.0))).shape[0]]
    explanation = attribution(np.arange(16.0))
    for add in (
        lambda: explanation.notes.append("freezing changes nothing"),
        lambda: explanation.measures.update({"drop_ratio": 1.5}),
        lambda: explanation.arrays["learned"].CopyFrom(to_tensor(np.linspace(1, 0, 16))),
        lambda: explanation.arrays["mask 0.1"].CopyFrom(to_tensor(np.ones((16, 4, 4)))),
        lambda: explanation.curves.append(curve("running score", np.linspace(0, 1, 17), x_name="frames seen")),
        lambda: explanation.curves.append(curve("objective", [3.0, 2.0])),
    ):
        add()
        heights.append(sheet(explanation).shape[0])
    assert (np.diff(heights) > 15).all()
    # What is drawn already, or does not fit a page, is left out.
    explanation.arrays["again"].CopyFrom(to_tensor(np.arange(16.0)))
    explanation.arrays["table"].CopyFrom(to_tensor(np.ones((9, 7))))
    assert sheet(explanation).shape[0] == heights[-1]


def test_elements_of_several_frames_are_drawn_per_class_under_their_frames():
    values = np.zeros((3, 10), np.float32)
    values[1], values[2, 1] = 1.0, -0.5
    explanation = attribution(np.repeat(values[:, 0], (6, 5, 5)))
    explanation.arrays["values_by_class"].CopyFrom(to_tensor(values))
    explanation.curves.append(curve("running score", np.linspace(0, 1, 4), x_name="elements seen"))
    unknown = sheet(explanation)
    explanation.arrays["elements"].CopyFrom(to_tensor(np.array([[0, 5], [6, 10], [11, 15]])))
    known = sheet(explanation)
    assert not close_to(unknown, AGAINST).any()
    columns = np.flatnonzero(close_to(known, AGAINST).any(0))
    assert columns.min() > known.shape[1] / 2, "only the last element speaks against the second class"
    # The running score stands under the frames and no longer in a plot of its own.
    other = attribution(np.repeat(values[:, 0], (6, 5, 5)))
    other.arrays["values_by_class"].CopyFrom(to_tensor(values))
    other.arrays["elements"].CopyFrom(explanation.arrays["elements"])
    assert 60 < known.shape[0] - sheet(other).shape[0] < 100


@pytest.mark.parametrize("bounds", [[[0, 5]], [[0, 5], [6, 10], [11, 14]], [[0, 5], [9, 3], [11, 15]]])
def test_elements_that_do_not_fit_the_frames_are_left_out(bounds):
    explanation = attribution(np.arange(16.0))
    explanation.arrays["values_by_class"].CopyFrom(to_tensor(np.ones((3, 4))))
    explanation.arrays["elements"].CopyFrom(to_tensor(np.array(bounds)))
    assert sheet(explanation).shape == sheet(attribution(np.arange(16.0))).shape


def test_what_explains_nothing_has_no_bars_and_says_why_once():
    why = "freezing changes next to nothing: " + "the answer does not rest on this clip's motion, " * 5
    explanation = attribution(np.zeros(16))
    explanation.reading = why
    drawn = sheet(explanation)
    assert drawn.shape[0] < sheet(attribution(np.arange(16.0))).shape[0] - 100
    explanation.notes.append(why)
    assert np.array_equal(sheet(explanation), drawn)
    short = attribution(np.zeros(16))
    short.reading = "nothing"
    assert drawn.shape[0] > sheet(short).shape[0], "a long sentence takes several lines"


def test_long_notes_and_many_numbers_go_on_in_the_next_line():
    explanation = attribution(np.arange(16.0))
    explanation.notes.append("word " * 20)
    one = sheet(explanation).shape[0]
    explanation.notes[0] = "word " * 80
    several = sheet(explanation).shape[0]
    assert several > one
    explanation.measures.update({f"a number of its own {index}": 1.0 for index in range(20)})
    assert sheet(explanation).shape[0] - several >= 44


def test_details_of_a_volume_are_drawn_too():
    plain = saliency(np.random.default_rng(0).random((4, 5, 5)))
    with_mask = explanation_pb2.Explanation()
    with_mask.CopyFrom(plain)
    with_mask.arrays["mask 0.05"].CopyFrom(to_tensor(np.ones((4, 5, 5))))
    assert sheet(with_mask).shape[0] - sheet(plain).shape[0] > 60


def test_the_mark_of_a_timeline_moves_with_the_frames():
    video = timeline(grey(5, 60, 100), np.array([0, 1.0, -1.0, 2.0, 0]))
    assert video.shape[0] == 5
    assert video.shape[1] > 60
    assert (video[:, :60] == 100).all()
    marks = [
        np.flatnonzero(close_to(frame[60:], INK).all(0) | close_to(frame[60:], INK).any(0)).mean() for frame in video
    ]
    assert np.allclose(np.diff(marks), 20, atol=2)


@pytest.mark.parametrize("classes", [1, 3])
def test_units_are_written_on_every_scale(classes):
    explanation = attribution(np.tile(np.linspace(-0.1, 0.3, 16)[:, None], (1, classes))[:, 0], target=0)
    if classes > 1:
        values = np.tile(np.linspace(-0.1, 0.3, 16)[:, None], (1, classes))
        explanation.arrays["values_by_class"].CopyFrom(to_tensor(values))
    explanation.reading = "as it is"
    plain = sheet(explanation)
    explanation.frame_attribution.unit = "probability"
    named = sheet(explanation)
    assert plain.shape == named.shape
    # At the right end of the line above every row of bars, and nowhere else.
    assert len(apart(plain, named)) == min(classes, 2)


def test_units_are_written_beside_plots_and_the_running_score():
    explanation = attribution(np.linspace(-0.1, 0.3, 16))
    explanation.reading = "as it is"
    explanation.curves.append(curve("running score", np.linspace(0.1, 0.9, 17), x_name="frames seen"))
    explanation.curves.append(curve("discard highest first", np.linspace(0.9, 0.1, 17), x_name="frames discarded"))
    plain = sheet(explanation)
    for series in explanation.curves:
        series.unit = "probability"
    named = sheet(explanation)
    assert len(apart(plain, named)) == 2


def apart(one, other):
    """The runs of rows in which two sheets differ."""
    rows = np.flatnonzero((one != other).any((1, 2)))
    return np.split(rows, np.flatnonzero(np.diff(rows) > 12) + 1)
