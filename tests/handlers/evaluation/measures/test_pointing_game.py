"""The spatial pointing game, by hand and by brute force."""

from __future__ import annotations

import itertools
from dataclasses import replace
from statistics import fmean

import pytest
import torch

from handlers.evaluation.common.random_maps import random_map
from handlers.evaluation.measure import LeftOut, Measured
from handlers.evaluation.measures.pointing_game import (
    PointingGame,
    PointingGameParameters,
    highest_pixels,
    hits,
    near,
    usual_radius,
)
from handlers.evaluation.subject import GroundTruth
from handlers.explainers.attribution import FrameAttribution
from tests.handlers.evaluation.subjects import saliency, subject

CLOSE = PointingGameParameters(radius=1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_two_frames_of_two_by_two_by_hand() -> None:
    values = torch.tensor([[[1.0, 7.0], [2.0, 3.0]], [[4.0, 1.0], [9.0, 0.0]]])
    points, several = highest_pixels(values, torch.ones(2, 2, dtype=torch.bool), generator())
    assert points.tolist() == [[0, 1], [1, 0]]  # y, x
    assert several.tolist() == [False, False]
    objects = torch.tensor([[[0, 1], [0, 0]], [[0, 1], [0, 0]]], dtype=torch.bool)
    assert hits(points, near(objects, 0)).tolist() == [True, False]
    # The second point lies diagonally beside the object: no disc of 1 px meets it, a square of 1 px does.
    assert hits(points, near(objects, 1)).tolist() == [True, False]
    assert hits(points, near(objects, 1, "square")).tolist() == [True, True]


@pytest.mark.parametrize("radius", [0, 1, 3, 7])
def test_near_is_every_pixel_whose_disc_meets_the_object(radius: int) -> None:
    objects = torch.rand(1, 9, 11, generator=generator()) < 0.02
    objects[0, 8, 10] = True
    pixels = objects[0].nonzero().tolist()
    for y, x in itertools.product(range(9), range(11)):
        assert bool(near(objects, radius)[0, y, x]) == any((y - a) ** 2 + (x - b) ** 2 <= radius**2 for a, b in pixels)


def test_the_radius_is_that_of_the_papers_at_their_sizes() -> None:
    assert usual_radius(112, 112) == 7
    assert usual_radius(224, 320) == 15
    assert usual_radius(12, 16) == 0


def test_of_equal_pixels_a_random_one_is_taken_always_the_same_for_a_seed() -> None:
    flat, seen = torch.ones(4000, 2, 3), torch.ones(2, 3, dtype=torch.bool)
    points, several = highest_pixels(flat, seen, generator(1))
    again, _ = highest_pixels(flat, seen, generator(1))
    assert torch.equal(points, again)
    assert several.all()
    counts = (points[:, 0] * 3 + points[:, 1]).bincount(minlength=6)
    assert counts.min() > 4000 / 6 * 0.8


def truth(**given: object) -> GroundTruth:
    objects = torch.zeros(6, 12, 16, dtype=torch.bool)
    objects[1:4, 3:7, 5:9] = True
    return GroundTruth(objects=objects, **given)  # type: ignore[arg-type]


def numbers(found: Measured) -> dict[str, float]:
    return {name: value.number for name, value in found.values.items()}


def test_the_object_hits_in_every_frame_that_has_one() -> None:
    one = subject(truth=truth())
    assert one.truth.objects is not None
    found = PointingGame().measure(one, saliency(one.truth.objects.float()), CLOSE)
    # The 4 x 4 box and the pixels beside its sides: 16 + 4 * 4 of 12 * 16.
    assert numbers(found) == pytest.approx(
        {"pointing-game": 100, "chance": 100 * 32 / 192, "tied": 100, "annotated-frames": 3}
    )
    assert found.arrays["counted"].tolist() == found.arrays["hits"].tolist() == [0, 1, 1, 1, 0, 0]


def test_one_hit_of_three_frames_and_nothing_but_the_annotated_ones_counts() -> None:
    values = torch.zeros(6, 12, 16)
    values[0, 4, 6] = 9.0  # no object in this frame
    values[1, 2, 6] = 1.0  # one pixel above the box
    values[2, 1, 6] = 1.0  # two above
    values[3, 8, 10] = 1.0
    found = numbers(PointingGame().measure(subject(truth=truth()), saliency(values), CLOSE))
    assert found["pointing-game"] == pytest.approx(100 / 3)
    assert found["tied"] == 0
    known = truth(annotated=torch.tensor([1, 1, 1, 0, 0, 0]).bool())
    assert numbers(PointingGame().measure(subject(truth=known), saliency(values), CLOSE))["pointing-game"] == 50
    scaled = PointingGame().measure(subject(truth=truth()), saliency(1e-5 * values), CLOSE)
    assert numbers(scaled)["pointing-game"] == pytest.approx(100 / 3)


def test_noise_and_a_constant_map_get_the_chance_line() -> None:
    flat, one = saliency(torch.ones(6, 12, 16)), subject(truth=truth())
    constant = [numbers(PointingGame().measure(replace(one, seed=seed), flat, CLOSE)) for seed in range(200)]
    noise = [numbers(PointingGame().measure(one, random_map(one, draw), CLOSE)) for draw in range(200)]
    for found in (constant, noise):
        # 600 frames of 1 / 6: a standard error of 1.5.
        assert fmean(own["pointing-game"] for own in found) == pytest.approx(100 / 6, abs=5)


def test_padding_is_never_pointed_at() -> None:
    values = torch.ones(6, 12, 16)
    values[:, :3] = values[:, 7:] = 100
    values[:, 5, 6] = 2
    one = subject(truth=truth(), visible=(3, 7, 0, 16))
    found = numbers(PointingGame().measure(one, saliency(values), CLOSE))
    assert found["pointing-game"] == 100
    assert found["chance"] == pytest.approx(100 * (16 + 2 * 4) / 64)


def test_what_has_no_such_number_is_left_out() -> None:
    ones = saliency(torch.ones(6, 12, 16))
    with pytest.raises(LeftOut, match="no annotated objects"):
        PointingGame().measure(subject(), ones, CLOSE)
    with pytest.raises(LeftOut, match="no annotated frame"):
        PointingGame().measure(subject(truth=truth(annotated=torch.tensor([1, 0, 0, 0, 1, 1]).bool())), ones, CLOSE)
    with pytest.raises(LeftOut, match="frames, not voxels"):
        PointingGame().measure(subject(truth=truth()), FrameAttribution(torch.ones(6)), CLOSE)
