"""Motion precision: by hand, on clips that are known to move, and with exact masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from handlers.evaluation.common.random_maps import random_map
from handlers.evaluation.measure import LeftOut, Measured
from handlers.evaluation.measures.motion_precision import (
    MotionPrecision,
    MotionPrecisionParameters,
    centred,
    mass_precision,
    moving,
    precision,
)
from handlers.evaluation.subject import GroundTruth
from handlers.explainers.attribution import FrameAttribution
from tests.handlers.evaluation.subjects import saliency, subject

FLOW = MotionPrecisionParameters()
EXACT = MotionPrecisionParameters(motion="exact")

# A hand-worked clip of 2 x 2 x 2 voxels.
RELEVANCE = torch.tensor([[[4.0, -1.0], [1.0, 0.0]], [[3.0, 2.0], [-5.0, 0.0]]])
MOTION = torch.tensor([[[1, 1], [0, 0]], [[0, 1], [1, 0]]], dtype=torch.bool)


def test_two_by_two_by_two_by_hand() -> None:
    # Positive: 4, 1, 3, 2; of these 4 and 2 move. By mass 6 of 10.
    assert precision(RELEVANCE, MOTION) == 0.5
    assert mass_precision(RELEVANCE, MOTION) == pytest.approx(0.6)
    # In the first frame alone 4 and 1 are positive.
    first = torch.tensor([True, False])[:, None, None].expand(2, 2, 2)
    assert precision(RELEVANCE, MOTION, first) == 0.5
    assert mass_precision(RELEVANCE, MOTION, first) == pytest.approx(0.8)


def test_centring_changes_what_is_positive() -> None:
    every = torch.ones(2, 2, 2, dtype=torch.bool)
    # Mean 4 / 8 = 0.5: above it are 4, 1, 3, 2. Of the map plus 8 all are positive, above its mean again these four.
    assert precision(centred(RELEVANCE, "mean", every), MOTION) == 0.5
    assert precision(RELEVANCE + 8, MOTION) == 0.5  # 4 of the 8 voxels move
    assert precision(centred(RELEVANCE + 8, "mean", every), MOTION) == 0.5
    # In order -5 -1 0 0 1 2 3 4; torch's median is the lower of the middle two, 0.
    assert torch.equal(centred(RELEVANCE, "median", every), RELEVANCE)
    assert torch.equal(centred(RELEVANCE, "none", every), RELEVANCE)
    # Only what counts has a mean: of the first frame 1, so only 4 is above it.
    first = torch.tensor([True, False])[:, None, None].expand(2, 2, 2)
    assert precision(centred(RELEVANCE, "mean", first), MOTION, first) == 1


def test_nothing_positive_has_no_precision() -> None:
    assert precision(-RELEVANCE.abs(), MOTION) is None
    assert mass_precision(torch.zeros(2, 2, 2), MOTION) is None


@pytest.mark.parametrize("scale", [1e-6, 3.0, 1e6])
@pytest.mark.parametrize("centre", ["none", "mean", "median"])
def test_a_positive_scale_changes_nothing(scale: float, centre: str) -> None:
    values = torch.randn(6, 12, 16, generator=torch.Generator().manual_seed(0))
    truth = GroundTruth(objects=torch.rand(6, 12, 16, generator=torch.Generator().manual_seed(1)) < 0.3, exact=True)
    one = subject(truth=truth)
    parameters = MotionPrecisionParameters(motion="exact", centre=centre)
    found = [numbers(MotionPrecision().measure(one, saliency(values * s), parameters)) for s in (1.0, scale)]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def numbers(measured: Measured) -> dict[str, float]:
    return {name: value.number for name, value in measured.values.items()}


def truth() -> GroundTruth:
    objects = torch.zeros(6, 12, 16, dtype=torch.bool)
    objects[1:4, 3:7, 5:9] = True
    return GroundTruth(objects=objects, exact=True)


def test_the_exact_mask_is_all_precise_and_noise_and_a_constant_get_the_base_rate() -> None:
    one = subject(truth=truth())
    objects = one.truth.objects
    assert objects is not None
    rate = 100 * 3 * 4 * 4 / (6 * 12 * 16)
    best = numbers(MotionPrecision().measure(one, saliency(objects.float()), EXACT))
    assert best == pytest.approx(
        {"motion-precision": 100, "precision-above-mean": 100, "mass-precision": 100, "base-rate": rate}
    )
    flat = MotionPrecision().measure(one, saliency(torch.ones(6, 12, 16)), EXACT)
    assert numbers(flat) == pytest.approx({"motion-precision": rate, "mass-precision": rate, "base-rate": rate})
    assert set(flat.left_out) == {"precision-above-mean"}
    noise = numbers(MotionPrecision().measure(one, random_map(one, 0), EXACT))
    assert noise["motion-precision"] == pytest.approx(rate, abs=0.1)  # a few values may be exactly 0
    assert noise["mass-precision"] == pytest.approx(rate, abs=2)


def test_padding_counts_neither_in_the_map_nor_in_the_base_rate() -> None:
    # Rows 3 to 6 are the clip; the object fills a quarter of their columns in half of the frames.
    one = subject(truth=truth(), visible=(3, 7, 0, 16))
    bars = torch.full((6, 12, 16), 100.0)
    bars[:, 3:7] = 1.0
    found = numbers(MotionPrecision().measure(one, saliency(bars), EXACT))
    assert found["base-rate"] == found["motion-precision"] == found["mass-precision"] == pytest.approx(12.5)
    # Were the bars in the mean, nothing of the clip would be above it.
    bars[:, 3:7, :8] = 2.0
    assert numbers(MotionPrecision().measure(one, saliency(bars), EXACT))["precision-above-mean"] == pytest.approx(
        100 * 3 * 3 / (6 * 8)
    )


def test_what_a_selective_map_does_not_keep_is_never_positive() -> None:
    values = torch.full((6, 12, 16), -1.0)
    values[1, 3, 5:9] = torch.tensor([5.0, 0.5, -0.5, -3.0])
    mask = torch.zeros(6, 12, 16, dtype=torch.bool)
    mask[1, 2:4, 5:9] = True
    found = numbers(MotionPrecision().measure(subject(truth=truth()), saliency(values, mask), EXACT))
    # Positive and kept: 5 and 0.5, both in the object; above the mean -0.5 as well.
    assert found["motion-precision"] == found["precision-above-mean"] == found["mass-precision"] == 100
    values[1, 2, 5] = 1.5  # above the object
    found = numbers(MotionPrecision().measure(subject(truth=truth()), saliency(values, mask), EXACT))
    assert found["motion-precision"] == pytest.approx(100 * 2 / 3)
    assert found["precision-above-mean"] == pytest.approx(100 * 3 / 4)
    assert found["mass-precision"] == pytest.approx(100 * 5.5 / 7)


def test_only_annotated_frames_count() -> None:
    known = GroundTruth(objects=truth().objects, exact=True, annotated=torch.tensor([0, 1, 0, 0, 1, 0]).bool())
    found = numbers(MotionPrecision().measure(subject(truth=known), saliency(torch.ones(6, 12, 16)), EXACT))
    assert found["base-rate"] == pytest.approx(100 * 16 / (2 * 12 * 16))


def drifting() -> NDArray[np.uint8]:
    """Noise of which the right half moves by two pixels a frame; 5 frames of 48 x 64."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)[:48]
    clip = np.stack([noise[:, :64]] * 5)
    for frame in range(5):
        clip[frame, :, 32:] = np.roll(noise, 2 * frame, axis=1)[:, 32:64]
    return clip


def test_flow_finds_what_moves_and_the_last_frame_repeats() -> None:
    found = moving(drifting())
    assert found.shape == (5, 48, 64)
    assert float(found[:, 8:40, 40:56].float().mean()) > 0.9
    assert float(found[:, 8:40, 8:24].float().mean()) < 0.1
    assert torch.equal(found[-1], found[-2])
    assert not moving(drifting(), threshold=4.0)[:, 8:40, 40:56].any()
    assert not moving(np.stack([drifting()[0]] * 3)).any()


def test_by_flow_a_map_on_the_moving_half_beats_one_on_the_other() -> None:
    one = subject(clip=drifting())
    found = []
    for columns in (slice(36, None), slice(0, 24)):
        values = torch.zeros(5, 48, 64)
        values[:, :, columns] = 1
        found.append(numbers(MotionPrecision().measure(one, saliency(values), FLOW)))
    assert found[0]["motion-precision"] > 85
    assert found[1]["motion-precision"] < 15
    assert 30 < found[0]["base-rate"] == found[1]["base-rate"] < 70


def test_what_has_no_such_number_is_left_out_with_the_reason() -> None:
    measure, ones = MotionPrecision(), saliency(torch.ones(6, 12, 16))
    with pytest.raises(LeftOut, match="16 x 16"):
        measure.measure(subject(), ones, FLOW)
    with pytest.raises(LeftOut, match="no exact masks"):
        measure.measure(subject(), ones, EXACT)
    boxes = GroundTruth(objects=truth().objects, exact=False)
    with pytest.raises(LeftOut, match="no exact masks"):
        measure.measure(subject(truth=boxes), ones, EXACT)
    with pytest.raises(LeftOut, match="no voxel has positive relevance"):
        measure.measure(subject(truth=truth()), saliency(-torch.ones(6, 12, 16)), EXACT)
    with pytest.raises(LeftOut, match="frames, not voxels"):
        measure.measure(subject(truth=truth()), FrameAttribution(torch.ones(6)), EXACT)
    none = GroundTruth(objects=truth().objects, exact=True, annotated=torch.zeros(6, dtype=torch.bool))
    with pytest.raises(LeftOut, match="no frame is annotated"):
        measure.measure(subject(truth=none), ones, EXACT)
