"""Sets of clips: what is pooled, in which order, and what is said about it."""

from __future__ import annotations

import numpy as np
import pytest

from actionlens.v1 import explanation_pb2
from service.evaluation.evaluated_set import EvaluatedClip, EvaluatedSet
from service.evaluation.measurement import title_of
from service.evaluation.sentences import compared, findings, left_out, own_comparisons, warnings
from tests.service.evaluation.evaluated_clips import eight_clips, evaluated


def test_lines_come_by_measure_value_and_method_with_baselines_last() -> None:
    found = EvaluatedSet([evaluated("a", {"random": 1.0, "dtd": 2.0, "exact-mask": 3.0, "grad-cam": 4.0})])
    assert found.methods == ("dtd", "grad-cam", "random", "exact-mask")
    assert [(line.value, line.method) for line in found.summaries] == [
        (value, method) for value in ("insertion", "tied") for method in found.methods
    ]
    assert found.own_value("insertion") == "insertion"


def test_a_measure_left_out_as_a_whole_is_so_for_each_of_its_numbers() -> None:
    found = EvaluatedSet([evaluated("a", {"dtd": "constant map"}), evaluated("b", {"dtd": 30.0})])
    own, tied = found.summaries
    assert (own.value, own.mean, own.n, dict(own.left_out)) == ("insertion", 30.0, 1, {"constant map": 1})
    assert (tied.value, tied.n, dict(tied.left_out)) == ("tied", 1, {"constant map": 1})
    assert left_out(found) == ["insertion of dtd: 1 of 2 clips left out: constant map"]


def test_what_one_number_alone_lacks_is_said_of_it_alone() -> None:
    clip = evaluated("a", {"dtd": 30.0, "atr": 20.0})
    for row in clip.evaluation.rows:
        if row.value == "tied":
            row.ClearField("number")
            row.left_out = "no order"
    assert left_out(EvaluatedSet([clip])) == ["insertion tied of dtd, atr: 1 of 1 clips left out: no order"]


def test_a_measure_that_no_clip_has_keeps_its_line() -> None:
    found = EvaluatedSet([evaluated("a", {"dtd": "no"}), evaluated("b", {"dtd": "no"})])
    (line,) = found.summaries
    assert (line.measure, line.value, line.mean, dict(line.left_out)) == ("insertion", "insertion", None, {"no": 2})
    assert found.curves == []
    assert found.comparisons == []


def test_curves_and_matrices_are_means_with_errors() -> None:
    found = EvaluatedSet([evaluated("a", {"atr": 20.0}), evaluated("b", {"atr": 40.0})])
    (curve,) = found.curves
    np.testing.assert_allclose(curve.pooled.mean, [0, 0.3])
    # sd of 0.2 and 0.4 is 0.1 sqrt 2, over sqrt 2 clips.
    np.testing.assert_allclose(curve.pooled.error, [0, 0.1])
    (matrix,) = found.matrices
    assert (matrix.measure, matrix.method, matrix.name, matrix.clips) == ("lengths", "atr", "matrix", 2)
    np.testing.assert_allclose(matrix.mean, np.full((2, 2), 30.0))


def test_tests_are_said_in_words() -> None:
    found = EvaluatedSet(eight_clips())
    # Every difference has the same sign: p = 2 / 2^8 = 0.0078; Holm over dtd & grad-cam and both & random: times 3.
    said = [compared(entry) for entry in own_comparisons(found)]
    assert said == [
        "insertion: dtd is better than grad-cam (+20, 95 % +20 to +20, p = 0.023, 8 clips)",
        "insertion: dtd is better than random (+50, 95 % +50 to +50, p = 0.023, 8 clips)",
        "insertion: grad-cam is better than random (+30, 95 % +30 to +30, p = 0.023, 8 clips)",
    ]
    assert warnings(found) == []
    assert found.correct == (8, 8)


def test_methods_without_any_difference_are_named_once() -> None:
    three = EvaluatedSet(eight_clips()[:3])
    assert findings(three) == ["insertion: no difference found between any two of dtd, grad-cam, random"]
    both = EvaluatedSet([evaluated(name, {"dtd": number, "random": 2.0}) for name, number in (("a", 1.0), ("b", 3.0))])
    assert findings(both) == ["insertion: no difference found between dtd and random"]


def test_few_clips_and_a_measure_that_does_not_separate_are_warned_of() -> None:
    found = EvaluatedSet(eight_clips()[:3], {"broken": "no video"})
    said = warnings(found)
    assert said[0] == "1 clip has no result and is in no mean"
    assert said[1] == "3 clips show no significant difference, however large; take 6 or more"
    assert "cannot be told to separate the exact mask from random" in said[2]
    assert all(compared(entry).endswith("; it takes 6 clips or more") for entry in own_comparisons(found))
    worse = EvaluatedSet(
        [evaluated(f"c{n}", {"dtd": 1.0, "random": 50.0 + n, "exact-mask": 10.0 + n}) for n in range(8)]
    )
    assert any("prefers random to the exact mask" in text for text in warnings(worse))


@pytest.mark.parametrize(
    ("measure", "value", "title"),
    [
        ("insertion", "insertion", "insertion"),
        ("insertion:steps=16", "insertion", "insertion:steps=16"),
        ("saliency-metric", "s50", "saliency-metric s50"),
    ],
)
def test_titles(measure: str, value: str, title: str) -> None:
    assert title_of(measure, value) == title


def test_hits_are_counted_over_all_annotated_frames_of_a_class() -> None:
    # left: 50 % of 2 frames and 100 % of 6, 7 of 8 hit; right: 1 of 4. Mean over classes 56.25, of frames 8 / 12.
    given = [("a", 0, 50.0, 2), ("b", 0, 100.0, 6), ("c", 1, 25.0, 4)]
    clips = []
    for name, label, rate, frames in given:
        found = explanation_pb2.Evaluation(label=label)
        row = {"method": "dtd", "measure": "pointing-game"}
        found.rows.add(**row, value="pointing-game", number=rate, better="higher", unit="%")
        found.rows.add(**row, value="annotated-frames", number=frames, unit="frames")
        clips.append(EvaluatedClip(name, found))
    (line,) = EvaluatedSet(clips, labels=("left", "right")).by_class
    assert dict(line.averages.by_class) == {"left": pytest.approx(87.5), "right": 25.0}
    assert (line.averages.macro, line.averages.micro) == (pytest.approx(56.25), pytest.approx(100 * 8 / 12))


def test_classes_count_alike_whatever_their_clips() -> None:
    clips = [
        evaluated("a", {"dtd": 10.0}, label=0),
        evaluated("b", {"dtd": 30.0}, label=0),
        evaluated("c", {"dtd": 80.0}, label=2),
        evaluated("d", {"dtd": 0.0}),
    ]
    (line,) = EvaluatedSet(clips, labels=("left", "right")).by_class
    # Means 20 and 80; a class beyond the labels has its number.
    assert (line.method, line.averages.macro) == ("dtd", 50.0)
    assert dict(line.averages.by_class) == {"left": 20.0, "2": 80.0}
    assert EvaluatedSet(clips[:2]).by_class == []
