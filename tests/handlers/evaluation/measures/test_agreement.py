"""Agreement of methods, by hand."""

from __future__ import annotations

import pytest
import torch

from actionlens.frame_agreement import agreement
from handlers.evaluation.common.random_maps import random_map
from handlers.evaluation.measure import LeftOut, Measured, MeasureParameters
from handlers.evaluation.measures.agreement import Agreement, Overlap, overlap, positives
from handlers.explainers.attribution import Attribution, FrameAttribution
from handlers.explainers.profile_agreement import profile_on_frames
from tests.handlers.evaluation.subjects import saliency, subject

EVERY = torch.ones(2, 2, 2, dtype=torch.bool)


def measured(attributions: dict[str, Attribution], **given: object) -> Measured:
    return Agreement().measure(subject(**given), attributions, MeasureParameters())  # type: ignore[arg-type]


def numbers(found: Measured) -> dict[str, float]:
    return {name: value.number for name, value in found.values.items()}


def test_two_by_two_by_two_by_hand() -> None:
    signed = torch.tensor([[[4.0, -1.0], [1.0, 0.0]], [[3.0, 2.0], [-5.0, 0.0]]])
    first = positives(signed, EVERY)
    assert first.flatten().tolist() == [True, False, True, False, True, True, False, False]
    # Without a negative value the mean decides: 16 / 8 = 2; above it are 6 and 5 and 3.
    unsigned = torch.tensor([[[6.0, 0.0], [0.0, 1.0]], [[5.0, 1.0], [0.0, 3.0]]])
    second = positives(unsigned, EVERY)
    assert second.flatten().tolist() == [True, False, False, False, True, False, False, True]
    # In common 2, of 5 together, of 4 and of 3.
    found = overlap(first, second)
    assert (found.iou, found.of_first, found.of_second) == (2 / 5, 2 / 4, 2 / 3)


def test_nothing_has_no_share() -> None:
    nothing = torch.zeros(2, 2, 2, dtype=torch.bool)
    assert overlap(nothing, nothing) == Overlap(None, None, None)
    assert overlap(nothing, EVERY) == Overlap(None, None, 0)
    assert overlap(EVERY, nothing) == Overlap(None, 0, None)
    assert not positives(torch.ones(2, 2, 2), EVERY).any()  # a constant map calls no voxel more relevant


def test_only_what_counts_is_in_the_mean() -> None:
    values = torch.tensor([[[9.0, 9.0], [1.0, 2.0]]])
    counted = torch.tensor([[[False, False], [True, True]]])
    assert positives(values, counted).flatten().tolist() == [False, False, False, True]


def test_a_map_agrees_with_its_own_multiple_and_hardly_with_noise() -> None:
    values = torch.zeros(6, 12, 16)
    values[1:3, 2:6, 3:9] = torch.arange(1.0, 3.0)[:, None, None]
    noise = random_map(subject(), 0)
    found = numbers(measured({"a": saliency(values), "b": saliency(5e4 * values), "noise": noise}))
    assert found["overlap, a & b"] == found["share of a, a & b"] == found["share of b, a & b"] == 100
    assert found["frames, a & b"] == pytest.approx(1)
    # Half of the noise lies above its mean: in common 24 of 48, of 48 + 576 - 24 together.
    assert found["share of a, a & noise"] == pytest.approx(50, abs=20)
    assert found["overlap, a & noise"] == pytest.approx(4, abs=2)
    assert next(iter(found)) == "agreement"
    assert found["agreement"] == pytest.approx((100 + found["overlap, a & noise"] + found["overlap, b & noise"]) / 3)


def test_frame_agreement_is_that_of_an_answer() -> None:
    generator = torch.Generator().manual_seed(0)
    given: dict[str, Attribution] = {name: saliency(torch.rand(6, 12, 16, generator=generator)) for name in "abc"}
    given["d"] = FrameAttribution(torch.rand(6, generator=generator))
    found = measured(given)
    profiles = [profile_on_frames(attribution, 0, 6).numpy() for attribution in given.values()]
    assert numbers(found)["frame-agreement"] == pytest.approx(agreement(profiles).mean)
    assert found.left_out["overlap, a & d"] == "the method explains frames, not voxels"


def test_a_selective_map_is_relevant_where_it_keeps_something() -> None:
    values, mask = torch.ones(6, 12, 16), torch.zeros(6, 12, 16, dtype=torch.bool)
    values[0] = 9
    mask[:2, :6] = True
    kept = torch.zeros(6, 12, 16)
    kept[:2, :6] = 1
    # The mean of the selective map would call only the nines of its first frame relevant.
    found = numbers(measured({"selective": saliency(values, mask), "plain": saliency(kept)}))
    assert found["overlap, selective & plain"] == 100


def test_padding_is_no_agreement() -> None:
    one, other = torch.zeros(6, 12, 16), torch.zeros(6, 12, 16)
    one[:, :3], other[:, :3] = 1, 1
    one[:, 4], other[:, 5] = 1, 1
    given: dict[str, Attribution] = {"one": saliency(one), "other": saliency(other)}
    assert numbers(measured(given))["overlap, one & other"] == pytest.approx(100 * 3 / 5)
    assert numbers(measured(given, visible=(3, 9, 0, 16)))["overlap, one & other"] == 0


def test_what_cannot_be_compared_is_left_out() -> None:
    with pytest.raises(LeftOut, match="two methods"):
        measured({"a": saliency(torch.ones(6, 12, 16))})
    with pytest.raises(LeftOut, match="no pair"):
        measured({"a": FrameAttribution(torch.ones(6)), "b": FrameAttribution(torch.ones(6))})
    flat: dict[str, Attribution] = {name: saliency(torch.ones(6, 12, 16)) for name in "ab"}
    with pytest.raises(LeftOut, match="no pair"):
        measured(flat)
