"""Blobs, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from handlers.evaluation.common.random_maps import random_map
from handlers.evaluation.measure import LeftOut, Measured
from handlers.evaluation.measures.blobs import Blob, BlobParameters, Blobs, components, simple_blobs, statistics
from handlers.explainers.attribution import FrameAttribution
from tests.handlers.evaluation.subjects import saliency, subject

SCALE = 224 / 12
"""From the pixels of the subjects, 12 x 16, to those of a frame of 224."""


def numbers(found: Measured) -> dict[str, float]:
    return {name: value.number for name, value in found.values.items()}


def test_pixels_that_touch_at_a_corner_are_one_blob() -> None:
    frame = torch.tensor([[1, 0, 0, 0, 1], [0, 1, 0, 0, 1], [0, 0, 0, 0, 1]], dtype=torch.bool)
    assert components(frame, least_area=1) == [Blob(2, 0.5, 0.5), Blob(3, 1, 4)]
    assert components(frame, least_area=3) == [Blob(3, 1, 4)]
    assert components(torch.zeros(3, 3, dtype=torch.bool)) == []


def test_the_diameter_is_that_of_a_disc_of_the_area() -> None:
    assert Blob(math.pi * 25, 0, 0).diameter == pytest.approx(10)


def test_two_blobs_in_one_frame_and_one_in_another_by_hand() -> None:
    values = torch.zeros(6, 12, 16)
    values[0, 2:4, 2:4] = 4.0  # 4 pixels about (2.5, 2.5)
    values[0, 8, 10] = 2.0  # half of the highest value counts
    values[0, 0, 15] = 1.9  # less does not
    values[3, 5:7, 7:9] = 3.0  # in the middle
    found = Blobs().measure(subject(), saliency(values), BlobParameters())
    # The middle of 12 x 16 is (5.5, 7.5).
    distances = [math.hypot(3, 5), math.hypot(2.5, 2.5), 0]
    areas = [4, 1, 4]
    assert numbers(found) == pytest.approx(
        {
            "blobs": 3 / 6,
            "area": SCALE**2 * 3,
            "diameter": SCALE * sum(2 * math.sqrt(area / math.pi) for area in areas) / 3,
            "distance": SCALE * sum(distances) / 3,
        },
        rel=1e-5,
    )
    assert found.arrays["counts"].tolist() == [2, 0, 0, 1, 0, 0]
    assert found.arrays["blobs"].shape == (3, 3)
    again = Blobs().measure(subject(), saliency(1e-5 * values), BlobParameters())
    assert numbers(again) == pytest.approx(numbers(found), rel=1e-5)


def test_small_components_do_not_count_and_may_leave_none() -> None:
    values = torch.zeros(6, 12, 16)
    values[1, 5, 5] = 1
    found = Blobs().measure(subject(), saliency(values), BlobParameters(least_area=2 * SCALE**2))
    assert numbers(found) == {"blobs": 0}
    assert set(found.left_out) == {"diameter", "area", "distance"}


def test_padding_has_no_blobs_and_no_part_in_the_middle() -> None:
    values = torch.zeros(6, 12, 16)
    values[:, :4], values[2, 8:10, 7:9] = 9, 1
    found = numbers(Blobs().measure(subject(visible=(6, 12, 0, 16)), saliency(values), BlobParameters()))
    # What is seen are rows 6 to 11, their middle (8.5, 7.5): there the blob is.
    assert found["distance"] == pytest.approx(0, abs=1e-4)
    assert found["blobs"] == pytest.approx(1 / 6)


def test_a_constant_map_is_one_blob_in_the_middle_and_noise_is_many() -> None:
    flat = numbers(Blobs().measure(subject(), saliency(torch.ones(6, 12, 16)), BlobParameters()))
    assert (flat["blobs"], flat["distance"]) == (1, pytest.approx(0, abs=1e-4))
    assert flat["area"] == pytest.approx(SCALE**2 * 192)
    noise = numbers(Blobs().measure(subject(), random_map(subject(), 0), BlobParameters(threshold=0.8)))
    assert noise["blobs"] > 3


def test_statistics_are_over_all_frames_and_all_blobs() -> None:
    one = (torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 10.0, 100.0], [3.0, 30.0, 300.0]]))
    none = (torch.tensor([0.0, 0.0]), torch.zeros(0, 3))
    found = statistics([one, none])
    assert found.count == (0.5, pytest.approx(1))  # 2 0 0 0: squares 2.25 + 3 / 4 over 3
    assert found.diameter == (2, pytest.approx(math.sqrt(2)))
    assert (found.area[0], found.distance[0]) == (20, 200)
    assert math.isnan(statistics([none]).area[0])


def test_the_simple_detector_finds_a_cone_and_not_a_line() -> None:
    y, x = torch.meshgrid(torch.arange(60), torch.arange(80), indexing="ij")
    cone = (1 - ((y - 20) ** 2 + (x - 50) ** 2).float().sqrt() / 16).clamp(0, 1)  # 16 pixels wide at half its height
    (found,) = simple_blobs(cone)
    assert (found.y, found.x) == (pytest.approx(20, abs=0.5), pytest.approx(50, abs=0.5))
    assert found.diameter == pytest.approx(16, abs=3)
    assert simple_blobs(((y - 20).abs() < 2).float() * ((x - 40).abs() < 30)) == []

    values = torch.zeros(6, 12, 16)
    values[2, 5:7, 7:9] = 1  # resized, a square of some 37 pixels in the middle of a frame of 224
    measured = numbers(Blobs().measure(subject(), saliency(values), BlobParameters(detector="simple")))
    assert measured["blobs"] == pytest.approx(1 / 6)
    assert measured["distance"] == pytest.approx(0, abs=1)
    assert measured["diameter"] == pytest.approx(2 * SCALE, rel=0.35)


def test_what_has_no_blobs_is_left_out() -> None:
    with pytest.raises(LeftOut, match="no voxel has positive relevance"):
        Blobs().measure(subject(), saliency(-torch.ones(6, 12, 16)), BlobParameters())
    with pytest.raises(LeftOut, match="frames, not voxels"):
        Blobs().measure(subject(), FrameAttribution(torch.ones(6)), BlobParameters())
