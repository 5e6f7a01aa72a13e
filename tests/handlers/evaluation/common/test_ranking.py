"""Voxels and patches in the order of a map."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from handlers.evaluation.common.ranking import Ranking, order, patch_numbers, ranked_patches, ranked_voxels


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(0, 2**32))
def test_ranks_are_a_permutation_that_falls(values: list[int], seed: int) -> None:
    given_values = torch.tensor(values, dtype=torch.float32)
    ranks, tied = order(given_values, random(seed))
    assert sorted(ranks.tolist()) == list(range(len(values)))
    found = given_values[ranks].tolist()
    assert found == sorted(values, reverse=True)
    twice = sum(values.count(value) > 1 for value in values)
    assert tied == (twice / len(values) if values else 0)


def test_equal_values_take_every_order_equally_often() -> None:
    # 0 and 2 are equal: each is in front in half of 400 draws, within 4 standard deviations of 10.
    draws = random()
    in_front = [int(order(torch.tensor([1.0, 0.0, 1.0]), draws)[0][0]) for _ in range(400)]
    assert set(in_front) == {0, 2}
    assert 160 <= in_front.count(0) <= 240


def test_the_same_seed_gives_the_same_order() -> None:
    assert torch.equal(order(torch.zeros(50), random(5))[0], order(torch.zeros(50), random(5))[0])
    assert not torch.equal(order(torch.zeros(50), random(5))[0], order(torch.zeros(50), random(6))[0])


def test_two_frames_of_two_by_two_by_hand() -> None:
    values = torch.tensor([[[1.0, 8.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 2.0]]])
    ranking = ranked_voxels(values, torch.ones(2, 2, dtype=torch.bool), random())
    assert ranking.voxels.tolist() == [1, 6, 5, 4, 3, 2, 7, 0]  # 8 7 6 5 4 3 2 1
    assert ranking.ends(3).tolist() == [0, 2, 5, 8]  # floor(8 / 3), floor(16 / 3), all
    assert ranking.tied == 0
    # Each frame one patch: means 4 and 5, so the second frame comes first.
    patches = ranked_patches(values, torch.ones(2, 2, dtype=torch.bool), random(), grid=1)
    assert patches.voxels.tolist() == [4, 5, 6, 7, 0, 1, 2, 3]
    assert patches.sizes.tolist() == [4, 4]


def test_padding_is_never_ranked() -> None:
    seen = torch.zeros(4, 6, dtype=torch.bool)
    seen[1:3, :5] = True
    values = torch.zeros(3, 4, 6)
    values[:, 0] = 9.0
    inside = seen.expand(3, 4, 6).flatten().nonzero()[:, 0].tolist()
    for ranking in (ranked_voxels(values, seen, random()), ranked_patches(values, seen, random(), grid=3)):
        assert sorted(ranking.voxels.tolist()) == inside
        assert ranking.tied == 1


def test_a_constant_map_ties_patches_of_all_sizes() -> None:
    # 7 pixels in 3 columns: 3, 2 and 2 wide. Sums of 0.1 round differently for 9, 6 and 4 of them.
    ranking = ranked_patches(torch.full((2, 7, 7), 0.1), torch.ones(7, 7, dtype=torch.bool), random(), grid=3)
    assert len(ranking) == 18
    assert ranking.tied == 1


def test_patches_divide_the_frame_evenly() -> None:
    numbers = patch_numbers(torch.ones(112, 112, dtype=torch.bool), 16)
    assert numbers.shape == (16, 112, 112)
    assert torch.equal(numbers.flatten().bincount(), torch.full((16 * 256,), 49))
    assert int(numbers[1, 0, 7]) == 257
    # Fewer pixels than patches: every pixel is one.
    assert patch_numbers(torch.ones(2, 3, dtype=torch.bool), 1).flatten().tolist() == [0, 1, 2, 3, 4, 5]


@given(
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 5),
    st.integers(1, 30),
    st.integers(0, 2**32),
    st.data(),
)
def test_patches_against_brute_force(
    frames: int, height: int, width: int, grid: int, steps: int, seed: int, data: st.DataObject
) -> None:
    seen = torch.tensor(
        data.draw(st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=height, max_size=height))
    )
    values = torch.rand(frames, height, width, generator=random(seed))
    expected: dict[tuple[int, int, int], list[int]] = {}
    for number, (t, y, x) in enumerate(torch.cartesian_prod(*map(torch.arange, (frames, height, width))).tolist()):
        if seen[y, x]:
            expected.setdefault((t, y * grid // height, x * grid // width), []).append(number)
    flat = values.flatten().double()
    groups = sorted(expected.values(), key=lambda group: -float(flat[group].mean()))
    ranking = ranked_patches(values, seen, random(), grid)
    assert ranking.sizes.tolist() == [len(group) for group in groups]
    assert ranking.voxels.tolist() == [number for group in groups for number in group]
    for step, end in enumerate(ranking.ends(steps).tolist()):
        units = step * len(groups) // steps
        assert end == sum(map(len, groups[:units])) == len(ranking.first(units))


def test_nothing_seen_ranks_nothing() -> None:
    seen = torch.zeros(2, 2, dtype=torch.bool)
    for ranking in (
        ranked_voxels(torch.ones(1, 2, 2), seen, random()),
        ranked_patches(torch.ones(1, 2, 2), seen, random()),
    ):
        assert isinstance(ranking, Ranking)
        assert len(ranking) == 0
        assert ranking.ends(4).tolist() == [0] * 5
