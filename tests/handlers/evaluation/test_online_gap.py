"""The insertion-deletion gap of live explanations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from handlers.evaluation.common.blank_clips import blank_clip
from handlers.evaluation.measure import LeftOut
from handlers.evaluation.online_gap import OnlineGap
from handlers.explainers.attribution import Attribution, FrameAttribution
from tests.handlers.evaluation.subjects import saliency, subject


def gap(attribution: Attribution, **changes: Any) -> float:
    return OnlineGap(subject(**changes)).of(attribution)


def random_values(seed: int) -> Tensor:
    return torch.rand(6, 12, 16, generator=torch.Generator().manual_seed(seed))


def test_it_is_insertion_less_deletion_in_five_steps_of_patches() -> None:
    # On frames of 12 x 16 every patch of the 16 x 16 grid is one pixel, so that six frames have 1152 units in all.
    measured, values = subject(), random_values(1)
    clip = measured.model.prepare([measured.clip])[0]
    best = values.flatten().argsort(descending=True)

    def area(start: Tensor, end: Tensor) -> float:
        scores = []
        for step in range(6):
            changed, first = start.clone(), best[: step * 1152 // 5]
            changed.flatten(1)[:, first] = end.flatten(1)[:, first]
            logits = measured.model.program.forward(changed[None], (), relevance=False).logits
            scores.append(float(measured.model.probabilities(logits)[0, measured.target.index]))
        return sum((one + other) / 2 for one, other in zip(scores[1:], scores[:-1], strict=True)) / 5

    blurred, grey = blank_clip(measured, clip, "blur"), blank_clip(measured, clip, "grey")
    expected = area(blurred, clip) - area(clip, grey)
    assert expected != pytest.approx(0, abs=1e-4)
    assert OnlineGap(measured).of(saliency(values)) == pytest.approx(expected, abs=1e-5)


def test_the_scale_of_a_map_does_not_count() -> None:
    assert gap(saliency(1e3 * random_values(2))) == gap(saliency(random_values(2)))


def test_bars_are_not_ranked() -> None:
    values = random_values(3)
    loud = values.clone()
    loud[:, :3] = loud[:, 9:] = 100.0
    assert gap(saliency(loud), visible=(3, 9, 0, 16)) == gap(saliency(values), visible=(3, 9, 0, 16))
    assert gap(saliency(loud)) != gap(saliency(values))
    with pytest.raises(LeftOut, match="all padding"):
        gap(saliency(values), visible=(5, 5, 0, 16))


@pytest.mark.parametrize(
    ("attribution", "reason"),
    [
        (FrameAttribution(torch.rand(6)), "explains frames, not voxels"),
        (saliency(torch.zeros(6, 12, 16)), "no voxel has positive relevance"),
        (saliency(-random_values(4)), "no voxel has positive relevance"),
        (saliency(torch.ones(6, 12, 16)), "all voxels count alike"),
    ],
)
def test_what_ranks_nothing_is_left_out(attribution: Attribution, reason: str) -> None:
    with pytest.raises(LeftOut, match=reason):
        gap(attribution)
