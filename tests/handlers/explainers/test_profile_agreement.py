"""Agreement of frame profiles, against numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from actionlens.frame_agreement import Agreement, agreement
from handlers.explainers.attribution import Attribution, FrameAttribution, RelevanceMatrix, SaliencyVolume
from handlers.explainers.profile_agreement import profile_on_frames, spearman


def series(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def of(attributions: Sequence[Attribution], target: int, frames: int) -> Agreement:
    return agreement([profile_on_frames(each, target, frames).numpy() for each in attributions])


def test_spearman_of_a_small_example() -> None:
    # Ranks 0 1 2 3 and 1 0 2 3: 1 - 6 * (1 + 1) / (4 * 15) = 0.8.
    assert spearman(series(1, 2, 3, 4), series(20, 10, 30, 90)) == pytest.approx(0.8)
    # With a tie: ranks less their mean are (-1, 0, 1) and (-1/2, -1/2, 1): 3/2 / sqrt(2 * 3/2) = sqrt(3) / 2.
    assert spearman(series(1, 2, 3), series(5, 5, 9)) == pytest.approx(math.sqrt(3) / 2)
    assert spearman(series(1, 2, 3), series(-1, -20, -21)) == pytest.approx(-1)


@pytest.mark.parametrize("other", [series(4, 4, 4), series(math.nan, 1, 2), series(1, math.inf, 2)])
def test_spearman_of_nothing_to_rank_is_none(other: torch.Tensor) -> None:
    assert spearman(series(1, 2, 3), other) is None
    assert spearman(series(1), series(1)) is None


def test_coarse_steps_are_joined_by_lines_on_the_clips_frames() -> None:
    # Two steps of a grid at frames 1 and 3 with 2 and 6: flat outside, a line between.
    volume = SaliencyVolume(torch.tensor([[[2.0]], [[6.0]]]), (1.0, 3.0))
    assert profile_on_frames(volume, 0, 5).tolist() == [2, 2, 4, 6, 6]
    # Two blocks of two frames lie at 0.5 and 2.5.
    matrix = RelevanceMatrix(torch.tensor([[1.0, 3.0]]), (0.0,), torch.tensor([1.0]), (1,), None, None)
    assert profile_on_frames(matrix, 0, 4).tolist() == [1, 1.5, 2.5, 3]


def test_agreement_is_the_mean_over_pairs_that_can_be_compared() -> None:
    rising, falling = FrameAttribution(series(1, 2, 3, 4)), FrameAttribution(series(8, 6, 4, 2))
    swapped, flat = FrameAttribution(series(20, 10, 30, 90)), FrameAttribution(series(1, 1, 1, 1))
    # Pairs: -1, 0.8, -0.8; those with the flat one do not count.
    found = of([rising, falling, swapped, flat], 0, 4)
    assert found.mean == pytest.approx(-1 / 3)
    assert found.each == (pytest.approx(-0.1), pytest.approx(-0.9), pytest.approx(0), None)
    for few in ([rising, flat], [rising], []):
        assert of(few, 0, 4).mean is None
    columns = FrameAttribution(torch.tensor([[9.0, 1.0], [7.0, 2.0], [5.0, 3.0], [1.0, 4.0]]))
    assert of([rising, columns], 1, 4).mean == pytest.approx(1)
    assert of([rising, columns], 0, 4).mean == pytest.approx(-1)


def test_differences_of_rounding_are_no_order() -> None:
    rising, still = FrameAttribution(series(1, 2, 3)), FrameAttribution(series(1, 1 - 1e-7, 1 - 2e-7))
    assert of([rising, still], 0, 3).mean is None
