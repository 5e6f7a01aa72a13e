"""Element Shapley Values against their definition, and the axioms that they stand on."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from handlers.explainers.shapley import (
    average_levels,
    average_values,
    levels,
    relational_levels,
    relational_values,
    sample,
    sample_average,
    shapley,
    sums_of,
)
from handlers.models.blocks.consensus import RelationalConsensus

CLASSES = 3
Game = Callable[[tuple[int, ...]], Tensor]


def relational(scales: int, seed: int = 0) -> RelationalConsensus:
    torch.manual_seed(seed)
    return RelationalConsensus(4, 6, CLASSES, scales).double()


def features_of(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def prior() -> Tensor:
    return torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)


def by_definition(game: Game, count: int) -> Tensor:
    """Eq. 4, term by term: [n, K]."""
    values = torch.zeros(count, CLASSES, dtype=torch.float64)
    for element in range(count):
        others = [other for other in range(count) if other != element]
        for size in range(count):
            weight = math.factorial(count - size - 1) * math.factorial(size) / math.factorial(count)
            for chosen in combinations(others, size):
                values[element] += weight * (game(tuple(sorted((*chosen, element)))) - game(chosen))
    return values


def relational_game(consensus: RelationalConsensus, features: Tensor) -> Game:
    """f_ms of Eq. 8 by plain loops over the relations, as a probability."""

    def game(chosen: tuple[int, ...]) -> Tensor:
        if not chosen:
            return prior()
        scales = []
        for relation in consensus.used(len(chosen)):
            inside = combinations(chosen, relation.scale)
            scales.append(torch.stack([relation(features[list(frames)].flatten()) for frames in inside]).mean(0))
        return torch.stack(scales).mean(0).softmax(0)

    return game


def voting_game(consensus: RelationalConsensus, features: Tensor, votes: dict[int, float]) -> Game:
    """Scales of 2 frames and more that count differently, by plain loops; votes: by scale."""

    def game(chosen: tuple[int, ...]) -> Tensor:
        if not chosen:
            return prior()
        frames = chosen if len(chosen) > 1 else chosen * 2  # a frame alone is compared with itself
        said, counted = torch.zeros(CLASSES, dtype=torch.float64), 0.0
        for relation in consensus.relations:
            if relation.scale <= len(frames):
                inside = [features[list(part)].flatten() for part in combinations(frames, relation.scale)]
                said += votes[relation.scale] * torch.stack([relation(part) for part in inside]).mean(0)
                counted += votes[relation.scale]
        return (said * sum(votes.values()) / counted).softmax(0)

    return game


def table_game(values: Tensor) -> Game:
    """A game given by its value [2^n, K] for every bitmask."""
    return lambda chosen: values[sum(1 << element for element in chosen)]


def of_table(values: Tensor, count: int) -> Tensor:
    """[n, K] by the library."""
    by_level = [values[(1 << level.members).sum(1)] for level in levels(count)]
    return shapley(by_level, values[0], count).values


@torch.no_grad()
@pytest.mark.parametrize(("count", "scales"), [(1, 3), (2, 1), (5, 3), (6, 8), (8, 4)])
def test_exact_values_are_those_of_the_definition(count: int, scales: int):
    consensus, features = relational(scales), features_of(count)
    found = relational_values(consensus, features, prior())
    game = relational_game(consensus, features)
    torch.testing.assert_close(found.values, by_definition(game, count), rtol=0, atol=1e-10)
    torch.testing.assert_close(found.whole, consensus(features[None])[0].softmax(0), rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_scales_may_count_differently_and_begin_with_two_frames(count: int):
    torch.manual_seed(0)
    consensus = RelationalConsensus(4, 6, CLASSES, 4, fewest=2, votes=(3, 2, 1), longest_first=True).double()
    features = features_of(count)
    found = relational_values(consensus, features, prior())
    game = voting_game(consensus, features, {2: 3, 3: 2, 4: 1})
    torch.testing.assert_close(found.values, by_definition(game, count), rtol=0, atol=1e-10)
    torch.testing.assert_close(found.whole, consensus(features[None])[0].softmax(0), rtol=0, atol=1e-12)
    sampled = sample(consensus, features, math.comb(count, count // 2), seed=3).shapley(prior())
    torch.testing.assert_close(sampled.values, found.values, rtol=0, atol=1e-6)


@torch.no_grad()
def test_subsequences_of_long_clips_have_the_value_of_the_definition():
    consensus, features, count = relational(3), features_of(13), 13
    game = relational_game(consensus, features)
    for level, found in zip(levels(count), relational_levels(consensus, features), strict=True):
        assert found.shape == (len(level.members), CLASSES)
        for row in {0, len(found) // 3, len(found) - 1}:
            expected = game(tuple(level.members[row].tolist()))
            torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_marginals_are_the_mean_gains_at_every_scale():
    consensus, features, count = relational(3), features_of(5), 5
    found = relational_values(consensus, features, prior())
    game = relational_game(consensus, features)
    for size in range(count):
        for element in range(count):
            others = [other for other in range(count) if other != element]
            gains = [game(tuple(sorted((*c, element)))) - game(c) for c in combinations(others, size)]
            torch.testing.assert_close(found.marginals[size, element], torch.stack(gains).mean(0), rtol=0, atol=1e-10)
    torch.testing.assert_close(found.marginals.sum(0) / count, found.values)


def random_game(count: int, seed: int) -> Tensor:
    return torch.randn(1 << count, CLASSES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(1, 7), st.integers(0, 9999))
@settings(max_examples=40)
def test_efficiency_the_values_sum_to_what_the_sequence_adds(count: int, seed: int):
    game = random_game(count, seed)
    torch.testing.assert_close(of_table(game, count).sum(0), game[-1] - game[0], rtol=0, atol=1e-10)


@given(st.integers(2, 7), st.integers(0, 9999), st.data())
@settings(max_examples=40)
def test_symmetry_elements_that_can_stand_in_for_each_other_get_the_same(count: int, seed: int, data: st.DataObject):
    first, second = data.draw(st.permutations(range(count)))[:2]
    game = random_game(count, seed)
    masks = torch.arange(1 << count)
    a, b = (masks >> first) & 1, (masks >> second) & 1
    swapped = masks & ~((1 << first) | (1 << second)) | (a << second) | (b << first)
    values = of_table(game + game[swapped], count)
    torch.testing.assert_close(values[first], values[second], rtol=0, atol=1e-10)


@given(st.integers(1, 7), st.integers(0, 9999), st.data())
@settings(max_examples=40)
def test_monotonicity_more_gain_everywhere_is_not_less_value(count: int, seed: int, data: st.DataObject):
    element = data.draw(st.integers(0, count - 1))
    game = random_game(count, seed)
    has = (torch.arange(1 << count) >> element) & 1 == 1
    game[:, 1] = game[:, 0]
    game[has, 1] += random_game(count, seed + 1)[has, 0].abs()
    values = of_table(game, count)
    assert values[element, 1] >= values[element, 0] - 1e-12


@given(st.integers(1, 7), st.integers(0, 9999), st.floats(-3, 3))
@settings(max_examples=40)
def test_linearity_makes_contrasts_differences(count: int, seed: int, weight: float):
    game, other = random_game(count, seed), random_game(count, seed + 1)
    expected = of_table(game, count) + weight * of_table(other, count)
    torch.testing.assert_close(of_table(game + weight * other, count), expected, rtol=0, atol=1e-9)
    contrast = game[:, :1] - game[:, 1:2]
    values = of_table(game, count)
    torch.testing.assert_close(of_table(contrast, count)[:, 0], values[:, 0] - values[:, 1], rtol=0, atol=1e-10)


@given(st.integers(2, 7), st.integers(0, 9999))
@settings(max_examples=30)
def test_an_element_that_never_adds_anything_gets_nothing(count: int, seed: int):
    half = random_game(count - 1, seed)
    values = of_table(torch.cat([half, half]), count)
    torch.testing.assert_close(values[-1], torch.zeros(CLASSES, dtype=torch.float64), rtol=0, atol=1e-12)


@given(st.integers(1, 7), st.integers(0, 9999))
@settings(max_examples=30)
def test_the_closed_form_is_the_enumeration_of_mean_logits(count: int, seed: int):
    logits = torch.randn(count, CLASSES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    whole = logits.mean(0)
    found = average_values(logits, prior())

    def game(chosen: tuple[int, ...]) -> Tensor:
        return logits[list(chosen)].mean(0) - whole.logsumexp(0) if chosen else prior().log()

    torch.testing.assert_close(found.values, by_definition(game, count), rtol=0, atol=1e-10)
    torch.testing.assert_close(found.values.sum(0), whole.log_softmax(0) - prior().log(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_averages_are_enumerated_as_probabilities_and_a_full_sample_is_the_same(count: int):
    logits = 3 * torch.randn(count, CLASSES, generator=torch.Generator().manual_seed(count), dtype=torch.float64)

    def game(chosen: tuple[int, ...]) -> Tensor:
        return logits[list(chosen)].mean(0).softmax(0) if chosen else prior()

    found = shapley(average_levels(logits), prior(), count)
    torch.testing.assert_close(found.values, by_definition(game, count), rtol=0, atol=1e-10)
    sampled = sample_average(logits, math.comb(count, count // 2), seed=3).shapley(prior())
    torch.testing.assert_close(sampled.values, found.values, rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [1, 4, 6])
def test_sums_of_all_subsequences_are_exact_and_of_none_are_nothing(count: int):
    game = random_game(count, 1)
    has = ((torch.arange(1, 1 << count)[:, None] >> torch.arange(count)) & 1) == 1
    found = sums_of(has, game[1:]).shapley(game[0])
    torch.testing.assert_close(found.values, of_table(game, count), rtol=0, atol=1e-5)
    nothing = sums_of(has[:0], game[:0]).shapley(game[0])
    assert (nothing.values == 0).all()


@torch.no_grad()
def test_a_full_sample_is_exact():
    consensus, features = relational(3), features_of(7)
    found = sample(consensus, features, math.comb(7, 3), seed=3).shapley(prior())
    exact = relational_values(consensus, features, prior())
    torch.testing.assert_close(found.values, exact.values, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.marginals, exact.marginals, rtol=0, atol=1e-6)


@torch.no_grad()
def test_more_samples_come_closer():
    consensus, features = relational(4), features_of(10)
    exact = relational_values(consensus, features, prior()).values

    def error(most: int, iterations: int) -> float:
        sums = sample(consensus, features, most, 0)
        for seed in range(1, iterations):
            sums = sums + sample(consensus, features, most, seed)
        return float((sums.shapley(prior()).values - exact).abs().mean())

    errors = [error(most, iterations) for most, iterations in ((12, 1), (12, 16), (48, 16), (192, 16))]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 10


@torch.no_grad()
@pytest.mark.parametrize(("count", "most"), [(64, 4), (20, 1)])
def test_the_longest_clips_and_the_smallest_samples_give_numbers(count: int, most: int):
    found = sample(relational(3), features_of(count), most, seed=0).shapley(prior())
    assert found.values.shape == (count, CLASSES)
    assert found.values.isfinite().all()
