"""Insertion and deletion, by voxels and by patches."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean, stdev
from typing import Any

import pytest
import torch
from torch import Tensor

from handlers.evaluation.common.perturbed_clips import area_under
from handlers.evaluation.common.random_maps import random_map
from handlers.evaluation.common.ranking import ranked_patches, ranked_voxels
from handlers.evaluation.measure import Better, LeftOut
from handlers.evaluation.measure_registry import measure
from handlers.evaluation.measures.insertion_deletion import deletion_curve, insertion_curve, insertion_deletion_gap
from handlers.explainers.attribution import FrameAttribution
from tests.handlers import networks
from tests.handlers.evaluation.subjects import saliency, subject

NAMES = ("insertion", "deletion", "insertion-patches", "deletion-patches")
OBJECT = torch.zeros(4, 8, 8)
OBJECT[1:3, 2:5, 3:6] = 1
SEEN = torch.ones(8, 8, dtype=torch.bool)
CLIP, BLANK = torch.ones(1, 4, 8, 8), torch.zeros(1, 4, 8, 8)


def share_of_object(clips: Tensor) -> Tensor:
    """A class that is as probable as much of the object is seen."""
    return (clips * OBJECT).sum((1, 2, 3, 4)) / OBJECT.sum()


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def measured(name: str, attribution: Any, **changes: Any) -> float:
    chosen = measure(name)
    parameters = chosen.parameters(steps=8, **({"grid": 4} if "patches" in name else {}))
    found = chosen.measure(subject(**changes), attribution, parameters)  # type: ignore[attr-defined]
    return float(found.values[name].number)


def test_two_frames_of_two_by_two_by_hand() -> None:
    # Voxels of values 0 .. 7 in the clip, 0 in the blank one; the score is their sum's share of 28. The map ranks 7, 6,
    # 5, ... first. In 4 steps of 2 voxels insertion has 0, 13, 22, 27, 28 of 28: its area is (0/2 + 13 + 22 + 27 +
    # 28/2) / 4 / 28 = 76 / 112. Deletion has 28, 15, 6, 1, 0: (28/2 + 15 + 6 + 1 + 0/2) / 4 / 28 = 36 / 112.
    clip = torch.arange(8.0).view(1, 2, 2, 2)
    ranking = ranked_voxels(clip[0], torch.ones(2, 2, dtype=torch.bool), random(0))

    def score(clips: Tensor) -> Tensor:
        return clips.sum((1, 2, 3, 4)) / 28

    insertion = insertion_curve(score, clip, clip * 0, ranking, 4)
    deletion = deletion_curve(score, clip, clip * 0, ranking, 4)
    assert (28 * insertion).tolist() == pytest.approx([0, 13, 22, 27, 28])
    assert (28 * deletion).tolist() == pytest.approx([28, 15, 6, 1, 0])
    assert area_under(insertion) == pytest.approx(76 / 112)
    assert area_under(deletion) == pytest.approx(36 / 112)
    assert insertion_deletion_gap(score, clip, clip * 0, clip * 0, ranking, 4) == pytest.approx(40 / 112)


@pytest.mark.parametrize("ranked", [ranked_voxels, lambda values, seen, draws: ranked_patches(values, seen, draws, 8)])
def test_the_exact_mask_beats_random_maps_and_the_opposite_loses(ranked: Callable[..., Any]) -> None:
    def areas(values: Tensor, seed: int) -> tuple[float, float]:
        ranking = ranked(values, SEEN, random(seed))
        curves = (curve(share_of_object, CLIP, BLANK, ranking, 32) for curve in (insertion_curve, deletion_curve))
        insertion, deletion = map(area_under, curves)
        return insertion, deletion

    chance = [areas(torch.rand(OBJECT.shape, generator=random(seed)), seed) for seed in range(5)]
    best, worst = areas(OBJECT, 0), areas(-OBJECT, 0)
    assert best[0] > max(insertion for insertion, _ in chance)
    assert best[1] < min(deletion for _, deletion in chance)
    assert worst[0] < min(insertion for insertion, _ in chance)
    # 18 of 256 voxels in the first 3 of 32 steps of 8: 8/18, 16/18, then all: (8/18 + 16/18 + 29 + 1/2) / 32.
    assert best[0] == pytest.approx((24 / 18 + 29 + 0.5) / 32)


def test_a_constant_map_is_as_good_as_random_ones_and_not_as_the_raster() -> None:
    def area(values: Tensor, seed: int) -> float:
        return area_under(insertion_curve(share_of_object, CLIP, BLANK, ranked_voxels(values, SEEN, random(seed)), 32))

    constant = [area(torch.ones_like(OBJECT), seed) for seed in range(20)]
    chance = [area(torch.rand(OBJECT.shape, generator=random(100 + seed)), seed) for seed in range(20)]
    error = (stdev(constant) ** 2 / 20 + stdev(chance) ** 2 / 20) ** 0.5
    assert abs(mean(constant) - mean(chance)) < 4 * error
    assert mean(constant) == pytest.approx(0.5, abs=4 * stdev(constant) / 20**0.5)


def test_equal_scores_have_their_value_as_area_and_a_step_its_complement() -> None:
    ranking = ranked_voxels(OBJECT, SEEN, random(0))
    assert area_under(insertion_curve(lambda c: torch.full((len(c),), 0.3), CLIP, BLANK, ranking, 7)) == pytest.approx(
        0.3
    )

    # All at once when more than a quarter is there: after step 8 of 32 the step lies at 8.5 / 32.
    def stepped(clips: Tensor) -> Tensor:
        return (clips.mean((1, 2, 3, 4)) > 0.25).float()

    assert area_under(insertion_curve(stepped, CLIP, BLANK, ranking, 32)) == pytest.approx(1 - 8.5 / 32)


@pytest.mark.parametrize("name", NAMES)
def test_a_positive_factor_changes_nothing(name: str) -> None:
    values = random_map(subject(), 0).values
    assert measured(name, saliency(values)) == measured(name, saliency(values * 1e-3))


@pytest.mark.parametrize("name", NAMES)
def test_a_curve_starts_and_ends_where_it_must(name: str) -> None:
    one, chosen = subject(), measure(name)
    found = chosen.measure(one, random_map(one, 0), chosen.parameters(steps=8, blank="fade"))  # type: ignore[attr-defined]
    (curve,) = found.curves
    blank = one.model.program.forward(torch.zeros(1, 3, 6, 12, 16), (), relevance=False).logits
    ends = [float(one.model.probabilities(blank)[0, one.target.index]), one.probability]
    if "deletion" in name:
        ends.reverse()
    assert [curve.y[0], curve.y[-1]] == pytest.approx(ends, abs=1e-6)
    assert curve.x == tuple(step / 8 for step in range(9))
    assert len(curve.y) == chosen.forwards(one.model, 6, chosen.parameters(steps=8)) == 9
    value = found.values[name]
    assert next(iter(found.values)) == name
    assert value.number == pytest.approx(100 * area_under(torch.tensor(curve.y)))
    assert (value.unit, value.better) == ("%", Better.LOWER if "deletion" in name else Better.HIGHER)
    assert found.values["tied"].number == 0


@pytest.mark.parametrize("name", NAMES)
def test_bars_are_never_ranked(name: str) -> None:
    # What the map says of the bars changes nothing, and a picture that is all padding is left out.
    values = random_map(subject(), 0).values
    shouting = values.clone()
    shouting[:, :3] = 99
    shouting[:, 9:] = 99
    visible = (3, 9, 0, 16)
    assert measured(name, saliency(shouting), visible=visible) == measured(name, saliency(values), visible=visible)
    with pytest.raises(LeftOut, match="all padding"):
        measured(name, saliency(values), visible=(3, 3, 0, 0))


@pytest.mark.parametrize("name", NAMES)
def test_what_has_no_voxels_is_left_out(name: str) -> None:
    with pytest.raises(LeftOut, match="frames, not voxels"):
        measured(name, FrameAttribution(torch.ones(6)))


def test_ties_are_drawn_by_the_seed_and_their_share_is_told() -> None:
    chosen, flat = measure("insertion"), saliency(torch.ones(6, 12, 16))
    found = [
        chosen.measure(subject(seed=seed), flat, chosen.parameters(steps=8)).values  # type: ignore[attr-defined]
        for seed in (1, 1, 2)
    ]
    assert found[0] == found[1]
    assert found[0]["insertion"] != found[2]["insertion"]
    assert found[0]["tied"].number == 100


def test_insertion_and_deletion_are_the_same_order_both_ways() -> None:
    # Putting in and taking out between the same two clips: deletion of the reversed order is insertion, backwards.
    ranking = ranked_voxels(random_map(subject(), 0).values, subject().seen, random(0))
    one = subject()
    clip = one.model.prepare([networks.clip()])[0]

    def score(clips: Tensor) -> Tensor:
        return clips.mean((1, 2, 3, 4))

    backwards = type(ranking)(ranking.voxels.flip(0), ranking.sizes.flip(0), ranking.tied)
    insertion = insertion_curve(score, clip, clip * 0, ranking, 9)
    assert torch.allclose(deletion_curve(score, clip, clip * 0, backwards, 9).flip(0), insertion, atol=1e-6)
