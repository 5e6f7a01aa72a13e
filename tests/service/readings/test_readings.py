from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionlens.tensors import to_tensor
from actionlens.v1 import explanation_pb2
from service.readings.explanation import busiest_window, frame_profile, read_explanation
from tests.service.rendering.explanations import attribution, matrix, profile, report, saliency


def test_profile_is_linear_between_the_steps():
    # Two steps at frames 1.5 and 5.5 of 8.
    explanation = saliency(np.array([[[2.0]], [[6.0]]]), positions=[1.5, 5.5])
    assert frame_profile(explanation, 8).tolist() == [2, 2, 2.5, 3.5, 4.5, 5.5, 6, 6]


def test_positions_left_out_are_the_middles():
    stated = saliency(np.array([[[2.0]], [[6.0]]]), positions=[1.5, 5.5])
    assert np.allclose(frame_profile(profile(2, 6), 8), frame_profile(stated, 8))


def test_only_positive_kept_finite_relevance_counts():
    values = np.array([[[1.0, -5.0, 3.0, np.nan]]] * 2)
    assert frame_profile(saliency(values), 2).tolist() == [4, 4]
    assert frame_profile(saliency(values, mask=[[[1, 1, 0, 1]], [[0, 1, 1, 0]]]), 2).tolist() == [1, 3]


def test_matrix_profile_sums_the_rows_that_speak_for_the_class():
    values = [[1, 2, 0], [4, -1, 8], [100, 100, 100]]
    assert frame_profile(matrix(values, [1, 0.5, -2]), 3).tolist() == [5, 2, 8]


def test_attribution_of_all_classes_is_read_for_the_target():
    assert frame_profile(attribution([[1, 7], [2, -3]], target=1), 2).tolist() == [7, 0]


@pytest.mark.parametrize(
    ("explanation", "expected"),
    [
        (profile(0, 0, 7, 1, 1, 1, 0, 0), "frame 12 carries 70 % of the relevance"),
        (profile(1, 1, 3, 4, 1, 0, 0, 0), "frames 12-13 carry 70 % of the relevance"),
        (profile(0, 3, 4, 3, 0, 0, 0, 0), "frames 11-12 carry 70 % of the relevance"),
        (profile(1, 1, 1, 1, 1, 1, 1, 1), "spread evenly over all frames"),
        (profile(0, 0, 0, 0, 0, 0, 0, 0), "no positive evidence"),
        (profile(-1, -2, 0, 0, 0, 0, 0, 0), "no positive evidence"),
        (profile(5, 0, 0, 0, 0, 0, 0, 5), "in several places, no single stretch; strongest at frame 10 (50 %)"),
        (profile(5), "one time step for the whole clip, so nothing about when"),
        (profile(3, 1), "frames 10-13 carry 75 % of the relevance"),
        (
            matrix(np.eye(8)[[2, 2, 2]], [1, 1, 1], 5.93),
            "avg-ATR 5.9 of 8 frames; frame 12 carries 100 % of the relevance",
        ),
        (matrix(-np.eye(8)), "no ATR: the class has no positive score at any time; no positive evidence"),
        (
            attribution([0, 0, 0, 0, 0, 2, 3, 0]),
            "supporting frames 15-16, most 16 (+3); distracting frames 10-14, 17",
        ),
        (attribution([1, 2, 1, 1, 1, 1, 1, 1]), "supporting frames 10-17, most 11 (+2)"),
        (attribution([-1, -2, -1, -1, -1, -1, -1, -1]), "distracting frames 10-17"),
        (attribution([0] * 8), "no frame changes the score"),
        (explanation_pb2.Explanation(), "no positive evidence"),
    ],
)
def test_what_is_said(explanation, expected):
    assert read_explanation(explanation, report(range(10, 18))) == expected


def test_frames_are_those_of_the_source():
    explanation = profile(0, 0, 1, 9, 9, 0, 0, 0)
    assert read_explanation(explanation, report([0, 5, 9, 14, 19, 23, 28, 33])).startswith("frames 14-19 carry 95 %")


def test_a_map_in_which_nothing_moves_is_said_to_stand_still():
    still = saliency(np.ones((2, 1, 3)), mask=np.zeros((2, 1, 3)))
    still.quality.motion_share = 0.0
    assert read_explanation(still, report(range(2))).startswith("nothing in it changes in time")
    nothing = saliency(np.zeros((2, 1, 3)), mask=np.zeros((2, 1, 3)))
    assert read_explanation(nothing, report(range(2))) == "no positive evidence"


def test_motion_share_and_failure_are_said():
    explanation = profile(0, 0, 7, 1, 1, 1, 0, 0)
    explanation.quality.motion_share = 0.384
    assert read_explanation(explanation, report(range(8))).endswith("; motion share 38 %")
    explanation.quality.insertion_deletion_gap = -0.125
    assert read_explanation(explanation, report(range(8))).endswith("; motion share 38 %; insertion-deletion gap -0.12")
    failed = explanation_pb2.Explanation(failure=explanation_pb2.Failure(message="no such layer"))
    assert read_explanation(failed, report(range(8))) == "not available: no such layer"


def shortest_by_hand(shares):
    """All runs, shortest first, strongest of equal length: the definition."""
    runs = [(e - b, -sum(shares[b:e]), b) for b in range(len(shares)) for e in range(b + 1, len(shares) + 1)]
    length, negative, begin = min(run for run in runs if -run[1] >= 2 / 3 - 1e-9)
    return begin, begin + length - 1, -negative


@given(st.lists(st.integers(0, 20), min_size=2, max_size=16))
def test_window_is_the_shortest_that_carries_two_thirds(weights):
    window = busiest_window(attribution(np.array(weights, float)), len(weights))
    total = sum(weights)
    if window is None:
        if total:
            shares = np.array(weights) / total
            first, last, _ = shortest_by_hand(shares.tolist())
            even = np.abs(shares - 1 / len(shares)).sum() / 2 < 0.1
            assert even or last - first + 1 >= 0.8 * len(shares)
        return
    first, last, share = shortest_by_hand([weight / total for weight in weights])
    assert window.last - window.first == last - first
    assert window.share == pytest.approx(share)
    assert sum(weights[window.first : window.last + 1]) / total == pytest.approx(share)


@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 2**32))
def test_a_line_for_every_number_of_steps_and_frames(steps, frames, seed):
    values = np.random.default_rng(seed).normal(size=(steps, 3, 2))
    line = read_explanation(saliency(values, signed=True), report(range(frames)))
    assert line
    assert "\n" not in line


def test_a_tensor_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"saliency\.values"):
        frame_profile(saliency(np.zeros((2, 3))), 4)


def _mask(held, notes=(), **measures):
    explanation = attribution(np.asarray(held, float))
    explanation.arrays["on"].CopyFrom(to_tensor(held))
    explanation.measures.update(measures)
    explanation.notes.extend(notes)
    explanation.provenance.parameters.update({"perturbation": "freeze"})
    return explanation


@pytest.mark.parametrize(
    ("explanation", "expected"),
    [
        (
            _mask([0, 0, 1, 1, 0, 1, 0, 0], original_score=0.987, freeze_score=0.412),
            "frames 2-3, 5 carry the decision: frozen, they take P from 0.99 to 0.41",
        ),
        # The score of what is shown, where another mask was learned.
        (
            _mask([0, 0, 1, 1, 0, 0, 0, 0], original_score=0.987, freeze_score=0.9, shown_score=0.3),
            "frames 2-3 carry the decision: frozen, they take P from 0.99 to 0.30",
        ),
        (_mask([0, 0, 1, 0, 0, 0, 0, 0]), "frame 2 carries the decision"),
        (_mask([0] * 8, ["freezing changes nothing: 0.992 either way"]), "freezing changes nothing: 0.992 either way"),
    ],
)
def test_a_mask_is_read_as_its_frames_and_what_the_score_falls_to(explanation, expected):
    assert read_explanation(explanation, report(range(8))) == expected


def test_many_runs_of_frames_are_cut_short():
    line = read_explanation(attribution(np.tile([1.0, -1.0], 10)), report(range(20)))
    assert line == (
        "supporting frames 0, 2, 4, 6, 8, 10 and 4 more, most 0 (+1); distracting frames 1, 3, 5, 7, 9, 11 and 4 more"
    )


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        (
            {"score 0.01": 0.3, "score 0.05": 0.9, "score 0.1": 0.95},
            "5 % of the clip is enough: P 0.90 with it alone, 0.99 with all",
        ),
        # Nothing is said of masks that miss their area.
        (
            {"score 0.01": 0.95, "misfit 0.01": 0.8, "score 0.05": 0.97, "misfit 0.05": 0.2},
            "5 % of the clip is enough: P 0.97 with it alone, 0.99 with all",
        ),
        ({"score 0.01": 0.1, "misfit 0.01": 0.8, "score without 0.01": 0.1}, "no mask holds its area yet"),
        ({"score 0.01": 0.1, "score 0.1": 0.4}, "10 % of the clip is not enough: P 0.40 with it alone, 0.99 with all"),
        ({"score without 0.05": 0.8, "score without 0.1": 0.21}, "without 10 % of the clip P falls from 0.99 to 0.21"),
        (
            {"score 0.05": 0.97, "score without 0.05": 0.5},
            "5 % of the clip is enough: P 0.97 with it alone, 0.99 with all; "
            "without 5 % of the clip P falls from 0.99 to 0.50",
        ),
    ],
)
def test_masks_of_given_areas_are_read_by_what_they_keep(measures, expected):
    explanation = profile(0, 0, 7, 1, 1, 1, 0, 0)
    explanation.measures.update({"score full": 0.99, "score perturbed": 0.02, "area 0.05": 0.05, **measures})
    assert read_explanation(explanation, report(range(8))) == f"{expected}; frame 2 carries 70 % of the relevance"


def test_values_are_read_in_their_unit():
    explanation = attribution([0.1, 0.25, -0.2])
    explanation.frame_attribution.unit = "log-probability"
    assert read_explanation(explanation, report(range(3))) == (
        "supporting frames 0-1, most 1 (+0.25 log-probability); distracting frame 2"
    )
