"""Selectivity, by hand and against the method's own numbers."""

from __future__ import annotations

import pytest
import torch

from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.evaluation.common.random_maps import random_map
from handlers.evaluation.measure import LeftOut, Measured
from handlers.evaluation.measures.selectivity import Selectivity, SelectivityParameters, selectivity_by_threshold
from handlers.explainers.attribution import FrameAttribution, SaliencyVolume
from handlers.explainers.live.selective_relevance import motion_mask
from tests.handlers.evaluation.subjects import saliency, subject


def numbers(found: Measured) -> dict[str, float]:
    return {name: value.number for name, value in found.values.items()}


def test_two_by_two_by_two_by_hand() -> None:
    # The upper row rises by 2, the lower one stays. With repeated borders a place gets 3 parts of its own row's rise,
    # and 1 of the other's, four times along x, in both frames: 4 * 3 * 2 = 24 above and 4 * 2 = 8 below. Their standard
    # deviation is 8: n = 0.5 keeps all, n = 2 the upper row, n = 3 nothing (24 is not above 24).
    relevance = torch.tensor([[[2.0, 2.0], [1.0, 1.0]], [[4.0, 4.0], [1.0, 1.0]]])
    every = torch.ones(2, 2, dtype=torch.bool)
    found = selectivity_by_threshold(relevance, (0.5, 2.0, 3.0), every)
    assert found == [(1, 1), (0.5, 0.75), (0, 0)]  # 4 of 8 places, 12 of 16
    lower = torch.tensor([[False, False], [True, True]])
    assert selectivity_by_threshold(relevance, (0.5, 2.0), lower) == [(1, 1), (0, 0)]


def moving_dot(scale: float = 1.0) -> torch.Tensor:
    """A dot that moves over a still bar: 6 x 12 x 16."""
    values = torch.zeros(6, 12, 16)
    values[:, 10] = 1.0
    for frame in range(6):
        values[frame, 4, 2 * frame + 2] = 5.0
    return scale * values


@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_the_bar_is_lost_and_the_shares_fall_as_the_threshold_rises(scale: float) -> None:
    found = Selectivity().measure(subject(), saliency(moving_dot(scale)), SelectivityParameters())
    mask = motion_mask(moving_dot(), 4.0)
    positive = moving_dot() > 0
    assert positive.sum() == 6 * 17
    assert not mask[:, 10].any()
    kept = int((mask & positive).sum())
    assert kept > 0
    assert numbers(found) == pytest.approx(
        {"selectivity": 100 * kept / 102, "relevance-kept": 100 * 5 * kept / (6 * 16 + 6 * 5)}, rel=1e-4
    )
    for curve in found.curves:
        assert curve.x == (1, 2, 3, 4, 5, 6)
        assert list(curve.y) == sorted(curve.y, reverse=True)
        assert curve.y[3] == pytest.approx(numbers(found)[{"p": "selectivity", "r": "relevance-kept"}[curve.name[0]]])


def test_what_does_not_change_is_not_kept_and_noise_hardly() -> None:
    flat = Selectivity().measure(subject(), saliency(torch.ones(6, 12, 16)), SelectivityParameters())
    assert numbers(flat) == {"selectivity": 0, "relevance-kept": 0}
    noise = numbers(Selectivity().measure(subject(), random_map(subject(), 0), SelectivityParameters()))
    assert noise["selectivity"] < 1


def test_the_numbers_are_those_of_the_method_with_its_own_mask() -> None:
    one = subject()
    calls = [
        MethodCall("selective-relevance", {"base": "dtd", "threshold": 1.0}),
        MethodCall("dtd"),
        MethodCall("selective-relevance", {"base": "grad-cam", "threshold": 1.0}),
        MethodCall("grad-cam"),
    ]
    (answer,) = Engine(one.model).explain([ClipRequest(one.clip, calls)])
    assert isinstance(answer, ClipAnswer)
    maps = [entry.result for entry in answer.explained]
    for own, base in ((maps[0], maps[1]), (maps[2], maps[3])):
        assert isinstance(own, SaliencyVolume)
        assert isinstance(base, SaliencyVolume)
        assert own.quality.selected_positions is not None
        for given, threshold in ((own, 4.0), (base, 1.0)):
            found = Selectivity().measure(one, given, SelectivityParameters(threshold=threshold))
            assert found.values["selectivity"].number == pytest.approx(100 * own.quality.selected_positions, abs=1e-3)
            assert own.quality.motion_share is not None
            assert found.values["relevance-kept"].number == pytest.approx(100 * own.quality.motion_share, abs=1e-3)


def test_padding_has_no_places() -> None:
    one = subject(visible=(0, 8, 0, 16))
    found = numbers(Selectivity().measure(one, saliency(moving_dot()), SelectivityParameters()))
    assert found["selectivity"] == pytest.approx(found["relevance-kept"])  # the bar is in the padding: equal dots
    coarse = SaliencyVolume(torch.ones(2, 3, 4), (1.0, 4.0), layer="relu2")
    with_grid = Selectivity().measure(one, coarse, SelectivityParameters(upsample=False))
    assert numbers(with_grid) == {"selectivity": 0, "relevance-kept": 0}


def test_what_has_no_such_number_is_left_out() -> None:
    with pytest.raises(LeftOut, match="nothing in the map is positive"):
        Selectivity().measure(subject(), saliency(-torch.ones(6, 12, 16)), SelectivityParameters())
    with pytest.raises(LeftOut, match="frames, not voxels"):
        Selectivity().measure(subject(), FrameAttribution(torch.ones(6)), SelectivityParameters())
