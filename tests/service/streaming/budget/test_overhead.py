"""The overhead budget against a machine with known costs."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from service.streaming.budget.overhead import OverheadBudget

PREDICT = 0.018
COSTS = [0.0, 0.0006, 0.07, 0.13]


def spend(
    share: float, windows: int, *, expected: list[float | None] | None = None, behind: int = 0
) -> tuple[Counter[int], list[float]]:
    """Windows by level, and what each one's explanation took. behind: windows still unanswered at every choice."""
    chance = random.Random(3)
    budget = OverheadBudget(share)
    known: list[float | None] = list(expected or COSTS)
    levels: Counter[int] = Counter()
    spent: list[float] = []
    open_choices = []
    for _ in range(windows):
        open_choices.append(budget.choose(known, PREDICT))
        levels[open_choices[-1].level] += 1
        if len(open_choices) > behind:
            choice = open_choices.pop(0)
            explain = COSTS[choice.level] * chance.uniform(0.8, 1.2)
            budget.settle(choice, PREDICT * chance.uniform(0.8, 1.2), explain)
            if known[choice.level] is None:
                known[choice.level] = COSTS[choice.level]
            spent.append(explain)
    return levels, spent


@pytest.mark.parametrize("share", [0.3, 0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("behind", [0, 4])
def test_the_share_is_kept_on_average(share: float, behind: int) -> None:
    _, spent = spend(share, 1000, behind=behind)
    assert sum(spent) / (len(spent) * PREDICT) == pytest.approx(share, rel=0.05)
    # Also over every hundred windows, but for one expensive window more or less.
    for start in range(0, 900, 10):
        part = spent[start : start + 100]
        assert abs(sum(part) - share * len(part) * PREDICT) <= 1.2 * COSTS[3] + 0.1 * share * len(part) * PREDICT


def test_wrong_expectations_do_not_add_up() -> None:
    # The expensive level is believed to take half of what it takes.
    _, spent = spend(0.3, 1000, expected=[0.0, 0.0006, 0.035, 0.3])
    assert sum(spent) / (len(spent) * PREDICT) == pytest.approx(0.3, rel=0.05)


def test_cheap_explanations_stay_on_every_window_and_expensive_ones_come_now_and_then() -> None:
    levels, _ = spend(0.3, 1000)
    # 0.3 * 18 ms - 0.6 ms = 4.8 ms are left over per window; selective relevance takes 69.4 ms more.
    assert levels[2] == pytest.approx(1000 * 4.8 / 69.4, abs=3)
    assert levels[1] == 1000 - levels[2]


def test_what_would_come_too_rarely_is_not_saved_for() -> None:
    # 1.2 ms are left over per window: one in 58 could have selective relevance, one in 108 all.
    assert set(spend(0.1, 1000)[0]) == {1, 2}
    levels, spent = spend(0.08, 1000)
    assert set(levels) == {1}
    assert sum(spent) < 0.08 * 1000 * PREDICT


def test_streams_that_begin_together_keep_the_share_together_from_the_start() -> None:
    spent, windows = 0.0, 5
    streams = 50
    for stream in range(streams):
        budget = OverheadBudget(0.3, phase=(stream + 0.5) / streams)
        for _ in range(windows):
            choice = budget.choose(COSTS, PREDICT)
            spent += COSTS[choice.level]
            budget.settle(choice, PREDICT, COSTS[choice.level])
    assert spent / (streams * windows * PREDICT) == pytest.approx(0.3, abs=0.05)


def test_nothing_is_explained_for_nothing() -> None:
    assert set(spend(0.0, 50)[0]) == {0}


def test_enough_for_everything_is_everything() -> None:
    assert set(spend(8.0, 50)[0]) == {3}


def test_unknown_costs_are_found_out_one_by_one() -> None:
    levels, spent = spend(1.0, 1000, expected=[0.0, None, None, None])
    assert levels[3] > 50
    assert sum(spent) / (len(spent) * PREDICT) == pytest.approx(1.0, rel=0.05)


def test_what_is_known_above_something_unknown_waits_for_it() -> None:
    # Another stream has measured everything together, nobody the selective relevance alone.
    budget = OverheadBudget(0.3)
    unknown = [0.0, 0.0006, None, 0.13]
    levels = []
    for _ in range(40):
        choice = budget.choose(unknown, PREDICT)
        levels.append(choice.level)
        budget.settle(choice, PREDICT, COSTS[choice.level])
    assert set(levels) == {1, 2}
    assert levels.count(2) <= 40 * 0.3 * PREDICT / COSTS[2] + 1


def test_windows_that_were_not_computed_cost_nothing() -> None:
    lost, kept = OverheadBudget(0.3), OverheadBudget(0.3)
    for _ in range(40):
        lost.refund(lost.choose(COSTS, PREDICT))
    for _ in range(40):
        left, right = lost.choose(COSTS, PREDICT), kept.choose(COSTS, PREDICT)
        assert left == right
        lost.settle(left, PREDICT, COSTS[left.level])
        kept.settle(right, PREDICT, COSTS[right.level])


def test_without_a_measured_prediction_the_first_window_is_only_predicted() -> None:
    assert OverheadBudget(0.3).choose(COSTS, None).level == 0


def test_a_debt_stops_what_would_keep_it_up_and_nothing_cheaper() -> None:
    for cheap, kept in ((0.002, 1), (0.005, 0)):
        costs = [0.0, cheap, 0.07]
        budget = OverheadBudget(0.3)
        budget.settle(budget.choose(costs, PREDICT), PREDICT, 0.4)  # a machine that stood still
        assert {budget.choose(costs, PREDICT).level for _ in range(5)} == {kept}
