"""Explanations prepared to one value per frame."""

from __future__ import annotations

import pytest
import torch

from handlers.evaluation.common.frame_values import frame_values
from handlers.evaluation.measure import LeftOut
from handlers.explainers.attribution import FrameAttribution, RelevanceMatrix, SaliencyVolume
from tests.handlers.evaluation.subjects import saliency, subject


def test_a_map_is_summed_over_the_picture_and_laid_on_the_frames_of_its_steps() -> None:
    # Steps at frames 1 and 4 with 8 x 16 visible pixels of 1 and of 4; linear between them: 1, 1, 2, 3, 4, 4.
    values = torch.tensor([1.0, 4.0]).view(2, 1, 1).expand(2, 3, 4)
    found = frame_values(subject(visible=(2, 10, 0, 16)), SaliencyVolume(values, (1.0, 4.0)))
    assert (found / 128).tolist() == pytest.approx([1, 1, 2, 3, 4, 4])


def test_only_the_positive_part_counts_and_the_largest_value_can() -> None:
    values = torch.zeros(6, 12, 16)
    values[2, 0, :4] = 2.0
    values[2, 1] = -9.0
    values[3, 0, 0] = 5.0
    assert frame_values(subject(), saliency(values)).tolist() == [0, 0, 8, 5, 0, 0]
    assert frame_values(subject(), saliency(values), "max").tolist() == [0, 0, 2, 5, 0, 0]
    assert frame_values(subject(visible=(2, 12, 0, 16)), saliency(values)).tolist() == [0.0] * 6


def test_a_matrix_gives_the_columns_of_the_rows_that_speak_for_the_class() -> None:
    values = torch.tensor([[1.0, 2, 0, 0, 0, 0], [9.0] * 6, [0, 1, 0, -3, 0, 0]])
    matrix = RelevanceMatrix(values, (1.0, 2.0, 3.0), torch.tensor([1.0, -1.0, 0.5]), (1, 1, 1), None, None)
    assert frame_values(subject(), matrix).tolist() == [1, 3, 0, -3, 0, 0]


def test_blocks_share_their_value_among_their_frames() -> None:
    matrix = RelevanceMatrix(torch.tensor([[3.0, 6.0]]), (2.0,), torch.ones(1), (1,), 1.0, 1.0)
    assert frame_values(subject(), matrix).tolist() == [1, 1, 1, 2, 2, 2]


def test_values_of_frames_are_those_of_the_target_with_their_sign() -> None:
    values = torch.stack((torch.arange(6.0), -torch.arange(6.0), torch.zeros(6)), 1)
    assert frame_values(subject(target=1), FrameAttribution(values)).tolist() == [0, -1, -2, -3, -4, -5]
    assert frame_values(subject(target=1), FrameAttribution(values[:, 0])).tolist() == [0, 1, 2, 3, 4, 5]


def test_what_says_nothing_is_left_out() -> None:
    silent = RelevanceMatrix(torch.ones(2, 6), (1.0, 4.0), -torch.ones(2), (1, 1), None, None, "no row is positive")
    with pytest.raises(LeftOut, match="no row is positive"):
        frame_values(subject(), silent)
    with pytest.raises(LeftOut, match="not finite"):
        frame_values(subject(), FrameAttribution(torch.full((6,), torch.nan)))
    with pytest.raises(LeftOut, match="7 values for 6 frames"):
        frame_values(subject(), FrameAttribution(torch.ones(7)))
