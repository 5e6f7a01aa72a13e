"""The saliency metric."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from handlers.evaluation.common.blank_clips import blurred_clip
from handlers.evaluation.common.perturbed_clips import replaced
from handlers.evaluation.common.random_maps import random_map
from handlers.evaluation.measure import Better, LeftOut, Value
from handlers.evaluation.measure_registry import measure
from handlers.evaluation.measures.saliency_metric import saliency_metric, salient
from handlers.explainers.attribution import FrameAttribution
from tests.handlers.evaluation.subjects import saliency, subject


def measured(values: Tensor, **changes: Any) -> dict[str, Value]:
    chosen = measure("saliency-metric")
    found = chosen.measure(subject(**changes), saliency(values), chosen.parameters())  # type: ignore[attr-defined]
    return dict(found.values)


def test_two_frames_of_two_by_two_by_hand() -> None:
    # Scaled from 2 .. 6 to 0, 1/4, 1/2, 3/4, 1: five of eight are at least 0.5, three at least 0.75.
    values = torch.tensor([[[2.0, 3.0], [4.0, 5.0]], [[6.0, 2.0], [4.0, 5.0]]])
    seen = torch.ones(2, 2, dtype=torch.bool)
    assert salient(values, seen, 0.5).tolist() == [[[False, False], [True, True]], [[True, False], [True, True]]]
    assert int(salient(values, seen, 0.75).sum()) == 3
    assert saliency_metric(5 / 8, 0.5) == pytest.approx(math.log(5 / 8) - math.log(1 / 2))  # ln 1.25
    assert saliency_metric(3 / 8, 0.75) == pytest.approx(-math.log(2))  # ln (3/8 / 3/4)


def test_the_best_is_the_smallest_share_and_nothing_found_is_a_large_number() -> None:
    assert saliency_metric(0.001, 1.0) == pytest.approx(math.log(0.05)) == pytest.approx(-2.9957, abs=1e-4)
    assert saliency_metric(0.5, 0.0) == pytest.approx(math.log(0.5) - math.log(1e-12))


def test_the_exact_mask_beats_random_maps() -> None:
    exact = torch.zeros(4, 8, 8)
    exact[1:3, 2:5, 3:6] = 1
    seen = torch.ones(8, 8, dtype=torch.bool)

    def metric(values: Tensor) -> float:
        kept = salient(values, seen, 0.5)
        shown = replaced(torch.zeros(1, 4, 8, 8), torch.ones(1, 4, 8, 8), kept.flatten().nonzero()[:, 0])
        return saliency_metric(float(kept.float().mean()), float((shown * exact).sum() / exact.sum()))

    # 18 of 256 voxels suffice: ln 0.0703.
    assert metric(exact) == pytest.approx(math.log(18 / 256))
    for draw in range(5):
        assert metric(torch.rand(exact.shape, generator=torch.Generator().manual_seed(draw))) > metric(exact) + 1


def test_the_values_are_those_of_the_clip_with_all_else_blurred() -> None:
    one = subject()
    values = random_map(one, 0).values
    found = measured(values)
    assert list(found)[:2] == ["s50", "s75"]
    clip = one.model.prepare([one.clip])[0]
    for threshold, name in ((0.5, "50"), (0.75, "75")):
        kept = (values - values.min()) / (values.max() - values.min()) >= threshold
        shown = torch.where(kept, clip, blurred_clip(clip, one.seen))
        logits = one.model.program.forward(shown[None], (), relevance=False).logits[0]
        probability = float(one.model.probabilities(logits)[one.target.index])
        expected = math.log(float(kept.float().mean())) - math.log(probability)
        assert found[f"s{name}"].number == pytest.approx(expected, abs=1e-4)
        assert found[f"s{name}"].better is Better.LOWER
        assert found[f"kept{name}"].number == pytest.approx(100 * float(kept.float().mean()), abs=1e-4)
        assert found[f"probability{name}"].number == pytest.approx(probability, abs=1e-5)


def test_everything_kept_ends_at_the_clips_own_probability() -> None:
    # Smallest and largest value apart from one voxel: K is all but that one.
    values = torch.ones(6, 12, 16)
    values[0, 0, 0] = 0
    found = measured(values)
    assert found["kept50"].number == pytest.approx(100 * (1 - 1 / values.numel()))
    assert found["probability50"].number == pytest.approx(subject().probability, abs=1e-3)


def test_a_positive_factor_changes_nothing() -> None:
    values = random_map(subject(), 0).values
    ours, theirs = measured(values), measured(values * 4)  # a power of two: no rounding
    assert ours == theirs


def test_bars_count_neither_as_area_nor_for_the_scale() -> None:
    values = random_map(subject(), 0).values
    shouting = values.clone()
    shouting[:, :3] = 99
    shouting[:, 9:] = -99
    visible = (3, 9, 0, 16)
    assert measured(shouting, visible=visible) == measured(values, visible=visible)
    low, high = values[:, 3:9].min(), values[:, 3:9].max()
    expected = ((values[:, 3:9] - low) / (high - low) >= 0.5).float().mean()
    assert measured(values, visible=visible)["kept50"].number == pytest.approx(100 * float(expected), abs=1e-4)


def test_a_constant_map_and_one_without_voxels_are_left_out() -> None:
    with pytest.raises(LeftOut, match="the same everywhere"):
        measured(torch.full((6, 12, 16), 0.1))
    with pytest.raises(LeftOut, match="the same everywhere"):
        measured(-random_map(subject(), 0).values)  # nothing is positive
    with pytest.raises(LeftOut, match="the same everywhere"):
        measured(random_map(subject(), 0).values, visible=(3, 3, 0, 0))
    chosen = measure("saliency-metric")
    with pytest.raises(LeftOut, match="frames, not voxels"):
        chosen.measure(subject(), FrameAttribution(torch.ones(6)), chosen.parameters())  # type: ignore[attr-defined]


def test_it_says_how_many_clips_it_runs() -> None:
    chosen = measure("saliency-metric")
    assert chosen.forwards(subject().model, 6, chosen.parameters()) == 2
    assert chosen.forwards(subject().model, 6, chosen.parameters(thresholds=(0.1, 0.2, 0.3))) == 3
