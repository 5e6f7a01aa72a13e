"""Entropy of the frame profile, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from handlers.attribution import FrameAttribution, RelevanceMatrix, SaliencyVolume
from handlers.engine import ClipRequest, Engine, MethodCall
from handlers.profile import frame_entropy, frame_profile
from tests.handlers import networks


def volume(steps: list[list[float]], mask: Tensor | None = None) -> SaliencyVolume:
    """One row of pixels per time step."""
    values = torch.tensor(steps)[:, None, :]
    return SaliencyVolume(values, tuple(map(float, range(len(steps)))), mask=None if mask is None else mask[:, None, :])


def matrix(values: list[list[float]], logits: list[float]) -> RelevanceMatrix:
    positions = tuple(map(float, range(len(values))))
    return RelevanceMatrix(torch.tensor(values), positions, torch.tensor(logits), (1,) * len(values), None, None)


def test_half_in_one_step_and_a_quarter_in_two_others() -> None:
    # H = 1/2 ln 2 + 2 * 1/4 ln 4 = 3/2 ln 2; the maximum over four steps is ln 4 = 2 ln 2.
    assert frame_entropy(volume([[3.0, 1.0], [2.0, 0.0], [0.0, 2.0], [0.0, 0.0]])) == pytest.approx(3 / 4)


def test_one_step_is_0_and_all_alike_is_1() -> None:
    assert frame_entropy(volume([[0.0], [5.0], [0.0]])) == 0
    assert frame_entropy(volume([[2.0], [2.0], [2.0]])) == pytest.approx(1)


def test_negative_relevance_and_what_a_mask_drops_do_not_count() -> None:
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    steps = [[1.0, -9.0], [1.0, 7.0], [-3.0, 0.0]]
    assert frame_profile(volume(steps, mask)).tolist() == [1, 1, 0]
    assert frame_entropy(volume(steps, mask)) == pytest.approx(math.log(2) / math.log(3))


def test_a_matrix_is_summed_over_the_rows_that_speak_for_the_class() -> None:
    # Rows 0 and 2 count: columns 1 + 2, 1 + 0, 0 + 0 make 3/4 and 1/4.
    found = matrix([[1.0, 1.0, -4.0], [0.0, 0.0, 9.0], [2.0, 0.0, 0.0]], [2.0, -1.0, 0.5])
    expected = (3 / 4 * math.log(4 / 3) + 1 / 4 * math.log(4)) / math.log(3)
    assert frame_entropy(found) == pytest.approx(expected)


def test_frame_attributions_are_their_own_profile() -> None:
    assert frame_entropy(FrameAttribution(torch.tensor([4.0, -1.0, 0.0, 4.0]))) == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    "nothing",
    [volume([[1.0, 2.0]]), volume([[-1.0], [0.0]]), volume([[math.inf], [1.0]]), matrix([[1.0, 0.0]], [-1.0])],
)
def test_unset_where_it_says_nothing(nothing: SaliencyVolume | RelevanceMatrix) -> None:
    assert frame_entropy(nothing) is None


def test_every_method_reports_it() -> None:
    methods = [MethodCall(name) for name in ("grad-cam", "selective-relevance", "dtd", "atr")]
    (answer,) = Engine(networks.model()).explain([ClipRequest(networks.clip(1), methods, target="right")])
    assert not isinstance(answer, Exception)
    for entry in answer.explained:
        assert not isinstance(entry.result, Exception)
        assert entry.result.quality.frame_entropy == frame_entropy(entry.result)
    assert any(0 < (entry.result.quality.frame_entropy or 0) <= 1 for entry in answer.explained)  # type: ignore[union-attr]
