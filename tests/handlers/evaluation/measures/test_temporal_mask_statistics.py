"""Statistics of temporal masks, worked out by hand and read from a mask that was learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from handlers.engine.block import advance
from handlers.engine.engine import ClipRequest, Engine, MethodCall
from handlers.evaluation.measure import LeftOut, MeasureParameters
from handlers.evaluation.measures.temporal_mask_statistics import (
    TemporalMaskStatistics,
    drops,
    histogram,
    mask_length,
    summary,
)
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, Details, FrameAttribution, Target
from handlers.explainers.temporal_masks import Perturbation
from handlers.models.action_model import ActionModel
from tests.handlers import networks


def subject() -> Subject:
    return Subject(networks.model(), networks.clip(), torch.tensor([0.0, 1.0, 0.0]), Target(1), seed=0)


def test_ratio_and_difference_by_hand() -> None:
    # OS 0.9, FS 0.1, RS 0.5: (0.9 - 0.1) / (0.9 - 0.5) = 2 and 0.5 - 0.1 = 0.4.
    found = drops(0.9, 0.1, 0.5)
    assert found.ratio == pytest.approx(2)
    assert found.difference == pytest.approx(0.4)


@pytest.mark.parametrize(("frozen", "reversed_"), [(0.1, 0.8995), (0.8995, 0.2), (0.1, 0.95), (0.95, 0.1)])
def test_no_ratio_where_a_fall_is_at_most_a_thousandth_or_a_rise(frozen: float, reversed_: float) -> None:
    found = drops(0.9, frozen, reversed_)
    assert found.ratio is None
    assert found.difference == pytest.approx(reversed_ - frozen)


def test_a_mask_is_as_long_as_it_has_frames_above_a_half() -> None:
    assert mask_length(torch.tensor([0.0, 0.5, 0.51, 1.0, 0.2])) == 2


def test_a_summary_has_the_median_beside_the_mean() -> None:
    # Mean 12 / 4 = 3; squares about it 4 + 4 + 1 + 25 = 34 over 3; the middle two are 1 and 2.
    found = summary([1.0, 1.0, 2.0, 8.0])
    assert found is not None
    assert (found.mean, found.median, found.count) == (3, 1.5, 4)
    assert found.deviation == pytest.approx((34 / 3) ** 0.5)
    alone = summary([4.0])
    assert alone is not None
    assert alone.deviation is None
    assert summary([]) is None


def test_a_histogram_counts_shares_and_drops_nothing() -> None:
    # Bins 0-1, 1-2, 2-4: -5 and 0.5 | 1 and 1.9 | 4 and 100.
    assert histogram([-5, 0.5, 1, 1.9, 4, 100], [0, 1, 2, 4]).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert histogram([], [0, 1, 2]).tolist() == [0, 0]


@pytest.mark.parametrize(("number", "target", "falls"), [(8, 2, True), (0, 0, False)])
def test_of_a_learned_mask_soft_and_hard(number: int, target: int, falls: bool) -> None:
    model = networks.model()
    clip = networks.clip(number)
    free = {"iterations": 5, "sparsity": 0.0, "smoothness": 0.0}
    request = ClipRequest(clip, [MethodCall("temporal-mask", free)], target=target)
    attribution = advance(Engine(model), request, b"", 1e9, 0, result=True).result
    assert isinstance(attribution, FrameAttribution)
    measured = TemporalMaskStatistics().measure(subject(), attribution, MeasureParameters())
    numbers = {name: value.number for name, value in measured.values.items()}
    assert next(iter(numbers)) == "mask-length"

    # By another road: the scores of clips that are perturbed with the learned mask.
    learned = attribution.details.arrays["learned"]
    assert numbers["mask-length"] == mask_length(learned)
    for which, mask in (("soft-", learned), ("", (learned > 0.5).float())):
        scores = {kind: perturbed_score(model, clip, mask, kind, target) for kind in Perturbation}
        for kind, score in scores.items():
            assert numbers[f"{which}{kind}-score"] == pytest.approx(score, abs=1e-5)
        own = drops(numbers["original-score"], scores[Perturbation.FREEZE], scores[Perturbation.REVERSE])
        assert numbers[f"{which}drop-difference"] == pytest.approx(own.difference, abs=1e-5)
        assert (f"{which}drop-ratio" in numbers) == falls
        assert (f"{which}drop-ratio" in measured.left_out) != falls


def perturbed_score(
    model: ActionModel, clip: NDArray[np.uint8], mask: torch.Tensor, kind: Perturbation, target: int
) -> float:
    mixed = torch.einsum("ts,bcshw->bcthw", kind.mixing(mask), model.prepare([clip]))
    return float(model.probabilities(model.program.forward(mixed, (), relevance=False).logits)[0, target])


def test_where_nothing_drops_the_length_counts_and_the_ratio_does_not() -> None:
    scores = {f"{which}{kind}_score": 0.7 for which in ("soft_", "") for kind in Perturbation}
    details = Details(measures={"mask_length": 2.0, "soft_length": 1.5, "original_score": 0.7, **scores})
    found = TemporalMaskStatistics().measure(
        subject(), FrameAttribution(torch.zeros(6), details=details), MeasureParameters()
    )
    assert found.values["mask-length"].number == 2
    assert found.values["drop-difference"].number == 0
    assert set(found.left_out) == {"drop-ratio", "soft-drop-ratio"}


def test_what_is_no_temporal_mask_is_left_out() -> None:
    other: Attribution = FrameAttribution(torch.from_numpy(np.ones(6)))
    with pytest.raises(LeftOut, match="no temporal mask"):
        TemporalMaskStatistics().measure(subject(), other, MeasureParameters())
