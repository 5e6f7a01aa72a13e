"""The temporal pointing game, by hand."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest
import torch

from handlers.evaluation.common.random_maps import random_map
from handlers.evaluation.measure import LeftOut, Measured
from handlers.evaluation.measures.temporal_pointing_game import (
    TemporalPointingGame,
    TemporalPointingGameParameters,
    highest_frame,
)
from handlers.evaluation.subject import GroundTruth, Subject
from handlers.explainers.attribution import Attribution, FrameAttribution, RelevanceMatrix
from tests.handlers.evaluation.subjects import saliency, subject

SUM, MAX = TemporalPointingGameParameters(), TemporalPointingGameParameters(of_frame="max")
SEGMENT = GroundTruth(segment=torch.tensor([0, 1, 1, 0, 0, 0]).bool())


def numbers(
    attribution: Attribution, parameters: TemporalPointingGameParameters = SUM, one: Subject | None = None
) -> dict[str, float]:
    one = subject(truth=SEGMENT, target=1) if one is None else one
    found: Measured = TemporalPointingGame().measure(one, attribution, parameters)
    return {name: value.number for name, value in found.values.items()} | {"frame": float(found.arrays["frame"])}


def test_the_sum_of_a_frame_and_its_largest_value_point_to_different_frames() -> None:
    # Frame 1 sums to 6, frame 4 to 5 of which 5 is one voxel: the sum hits, the maximum misses.
    values = torch.zeros(6, 12, 16)
    values[1, 0, :6], values[4, 2, 3], values[5] = 1, 5, -9
    assert numbers(saliency(values)) == pytest.approx(
        {"temporal-pointing-game": 100, "chance": 100 / 3, "tied": 0, "frame": 1}
    )
    assert numbers(saliency(values), MAX)["temporal-pointing-game"] == 0
    assert numbers(saliency(1e5 * values)) == numbers(saliency(values))


def test_values_of_frames_and_columns_of_a_matrix_point_as_well() -> None:
    assert numbers(FrameAttribution(torch.tensor([0.0, 0.0, 2.0, 1.0, 0.0, 0.0])))["temporal-pointing-game"] == 100
    by_class = torch.zeros(6, 3)
    by_class[4, 0], by_class[2, 1] = 9, 1
    assert numbers(FrameAttribution(by_class))["frame"] == 2
    rows = torch.zeros(2, 6)
    rows[0, 3], rows[1, 1] = 1, 9  # the second row speaks against the class
    matrix = RelevanceMatrix(rows, (1.0, 4.0), torch.tensor([1.0, -1.0]), (1, 1), 1.0, 1.0)
    assert numbers(matrix)["frame"] == 3


def test_of_equal_frames_a_random_one_is_taken() -> None:
    found = [highest_frame(torch.tensor([3.0, 1.0, 3.0]), torch.Generator().manual_seed(seed)) for seed in range(200)]
    assert {frame for frame, _ in found} == {0, 2}
    assert all(several for _, several in found)
    assert 60 < sum(frame == 0 for frame, _ in found) < 140


def test_noise_and_a_constant_map_get_the_segments_share_and_the_exact_mask_hits() -> None:
    flat, one = saliency(torch.ones(6, 12, 16)), subject(truth=SEGMENT)
    constant = [numbers(flat, one=replace(one, seed=seed)) for seed in range(200)]
    noise = [numbers(random_map(one, draw), one=one) for draw in range(200)]
    for found in (constant, noise):
        assert fmean(own["temporal-pointing-game"] for own in found) == pytest.approx(100 / 3, abs=12)
    assert SEGMENT.segment is not None
    exact = SEGMENT.segment.float()[:, None, None].expand(6, 12, 16)
    assert numbers(saliency(exact))["temporal-pointing-game"] == 100


def test_padding_does_not_count() -> None:
    values = torch.zeros(6, 12, 16)
    values[1, 5], values[4, :2] = 1, 100
    one = subject(truth=SEGMENT, visible=(3, 9, 0, 16))
    assert numbers(saliency(values), one=one)["frame"] == 1


@pytest.mark.parametrize(
    ("truth", "reason"),
    [
        (GroundTruth(), "no segment"),
        (GroundTruth(segment=torch.zeros(6, dtype=torch.bool)), "nothing can be missed"),
        (GroundTruth(segment=torch.ones(6, dtype=torch.bool)), "nothing can be missed"),
    ],
)
def test_what_has_no_such_number_is_left_out(truth: GroundTruth, reason: str) -> None:
    with pytest.raises(LeftOut, match=reason):
        numbers(saliency(torch.ones(6, 12, 16)), one=subject(truth=truth))
