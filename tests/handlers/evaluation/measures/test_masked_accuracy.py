"""Accuracy on masked clips."""

from __future__ import annotations

from statistics import mean
from typing import Any

import pytest
import torch
from torch import Tensor

from handlers.evaluation.common.blank_clips import blurred_clip
from handlers.evaluation.common.random_maps import random_map
from handlers.evaluation.common.ranking import ranked_voxels
from handlers.evaluation.measure import LeftOut, Value
from handlers.evaluation.measure_registry import measure
from handlers.evaluation.measures.masked_accuracy import predictions
from handlers.evaluation.subject import GroundTruth
from handlers.explainers.attribution import FrameAttribution
from tests.handlers.evaluation.subjects import saliency, subject

OBJECT = torch.zeros(4, 8, 8)
OBJECT[1:3, 2:5, 3:6] = 1
SEEN = torch.ones(8, 8, dtype=torch.bool)


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def more_than_half(clips: Tensor) -> Tensor:
    """Two classes: class 1 where more than half of the object is seen."""
    share = (clips * OBJECT).sum((1, 2, 3, 4)) / OBJECT.sum()
    return torch.stack((torch.full_like(share, 0.5), share), 1)


def right(values: Tensor, percents: tuple[float, ...], seed: int = 0) -> list[int]:
    ranking = ranked_voxels(values, SEEN, random(seed))
    return predictions(more_than_half, torch.ones(1, 4, 8, 8), torch.zeros(1, 4, 8, 8), ranking, percents).tolist()


def measured(values: Tensor, label: int | None = 1, **changes: Any) -> dict[str, Value]:
    chosen, one = measure("masked-accuracy"), subject(truth=GroundTruth(label=label), **changes)
    return dict(chosen.measure(one, saliency(values), chosen.parameters()).values)  # type: ignore[attr-defined]


def test_two_frames_of_two_by_two_by_hand() -> None:
    # Eight voxels of 0 .. 7; class 1 wins when the voxels seen add up to more than 12. The best one is 7, two are 13.
    clip = torch.arange(8.0).view(1, 2, 2, 2)
    ranking = ranked_voxels(clip[0], torch.ones(2, 2, dtype=torch.bool), random(0))

    def score(clips: Tensor) -> Tensor:
        return torch.stack((torch.full((len(clips),), 12.0), clips.sum((1, 2, 3, 4))), 1)

    # 1 % of 8 voxels is none, but one is seen; 25 % are two; 0 % none.
    assert predictions(score, clip, clip * 0, ranking, (0, 1, 12.5, 25, 100)).tolist() == [0, 0, 0, 1, 1]


def test_the_exact_mask_beats_random_maps() -> None:
    # 18 of 256 voxels are the object: half of them, 9, are 3.5 % of the clip.
    assert right(OBJECT, (3, 5, 20)) == [0, 1, 1]
    for seed in range(5):
        assert right(torch.rand(OBJECT.shape, generator=random(seed)), (3, 5, 20), seed) == [0, 0, 0]


def test_a_constant_map_is_as_good_as_random_ones() -> None:
    # About half of the object is there at 50 %, so that both are right in some of 40 draws.
    constant = mean(right(torch.ones_like(OBJECT), (50,), seed)[0] for seed in range(40))
    chance = mean(right(torch.rand(OBJECT.shape, generator=random(99 + seed)), (50,), seed)[0] for seed in range(40))
    assert 0 < constant < 1
    assert abs(constant - chance) < 4 * (2 * 0.25 / 40) ** 0.5


def test_the_values_are_those_of_the_clip_with_all_else_blurred() -> None:
    one = subject()
    values = random_map(one, 0).values
    clip = one.model.prepare([one.clip])[0]
    blank = blurred_clip(clip, one.seen)
    ranks = values.flatten().argsort(descending=True)
    for label in range(3):
        found = measured(values, label)
        assert list(found)[:5] == ["kept 1%", "kept 2%", "kept 5%", "kept 10%", "kept 20%"]
        assert found["unmasked"].number == 100 * (int(one.logits.argmax()) == label)
        for percent in (1, 2, 5, 10, 20):
            kept = torch.zeros(values.numel(), dtype=torch.bool)
            kept[ranks[: round(percent * values.numel() / 100)]] = True
            shown = torch.where(kept.view(values.shape), clip, blank)
            top = int(one.model.program.forward(shown[None], (), relevance=False).logits.argmax())
            assert found[f"kept {percent}%"].number == 100 * (top == label)


def test_everything_seen_is_the_clip_itself() -> None:
    chosen = measure("masked-accuracy")
    label = int(subject().logits.argmax())
    one = subject(truth=GroundTruth(label=label))
    parameters = chosen.parameters(kept=(100,))
    found = chosen.measure(one, random_map(one, 0), parameters)  # type: ignore[attr-defined]
    assert found.values["kept 100%"].number == found.values["unmasked"].number == 100
    assert chosen.forwards(one.model, 6, parameters) == 1


def test_a_positive_factor_changes_nothing() -> None:
    values = random_map(subject(), 0).values
    assert measured(values) == measured(values * 1e-3)


def test_bars_are_never_seen_first() -> None:
    values = random_map(subject(), 0).values
    shouting = values.clone()
    shouting[:, :3] = 99
    visible = (3, 12, 0, 16)
    assert measured(shouting, visible=visible) == measured(values, visible=visible)


def test_what_cannot_be_measured_is_left_out() -> None:
    chosen, values = measure("masked-accuracy"), random_map(subject(), 0).values
    assert chosen.needs == {"label"}
    with pytest.raises(LeftOut, match="no label"):
        measured(values, None)
    with pytest.raises(LeftOut, match="all padding"):
        measured(values, visible=(3, 3, 0, 0))
    one = subject(truth=GroundTruth(label=1))
    with pytest.raises(LeftOut, match="frames, not voxels"):
        chosen.measure(one, FrameAttribution(torch.ones(6)), chosen.parameters())  # type: ignore[attr-defined]
