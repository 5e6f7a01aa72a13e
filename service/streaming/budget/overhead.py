"""The overhead budget: allows so much explaining per predicting, saved up for expensive windows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

# A level that would come less often than every so many windows is not saved for if a lower one can be.
_LONGEST_PERIOD = 16.0
# Nor is the lowest that could be.
_LONGEST_PERIOD_AT_ALL = 64.0
# So many windows' earnings are owed at most, whatever one window took.
_LONGEST_DEBT = 128.0
# Explanations that take no more than this share of the earnings go on while debts are paid back.
_CHEAP = 0.5


@dataclass(frozen=True, slots=True)
class Choice:
    """One window's level.

    reserved: seconds set aside for it. saved_for: the level that is saved for, every `period` windows (None: nothing
    is).
    """

    level: int
    reserved: float
    saved_for: int
    period: float | None


class OverheadBudget:
    """Earns `share` of the time of predicting with every window and spends it on explaining.

    Windows get the highest level that their own earnings pay; what is left over buys a higher one now and then. The
    balance counts what was measured, so that wrong expectations do not add up.
    """

    def __init__(self, share: float, phase: float = 0.5) -> None:
        """share: seconds of explaining per second of predicting. phase: how much of an expensive window's price is
        saved already, 0 .. 1; streams that begin together should differ in it."""
        self._share = share
        self._phase: float | None = phase
        self._balance = 0.0
        self._earned = 0.0

    def choose(self, costs: Sequence[float | None], predict: float | None) -> Choice:
        """Choose the level of the next window; `settle` or `refund` it afterwards.

        costs: expected seconds of explaining at each level, rising from 0; None where it was never measured.
        predict: expected seconds of predicting.
        """
        if predict is None or not self._share:
            return Choice(0, 0.0, 0, None)  # the first window tells what predicting takes
        earned = self._earned = self._share * predict
        known = _known(costs)
        base = max(level for level, cost in enumerate(known) if cost <= earned)
        target, period = _saved_for(known, base, earned)
        if self._phase is not None and period is not None:
            self._balance += (self._phase - 0.5) * (known[target] - known[base])
            self._phase = None
        funds = self._balance + earned
        if target == len(known) - 1 < len(costs) - 1 and funds >= 0:
            # All that is known can be paid: find out what the next level takes.
            return self._chosen(len(known), known[-1], target, period)
        # Bought with half of its price saved, so that the balance swings around zero.
        if funds >= (known[target] + known[base]) / 2:
            return self._chosen(target, known[target], target, period)
        # Debts beyond what the saved-for level makes come from a window that took far longer than expected.
        level = base if known[base] <= _CHEAP * earned or funds >= -known[target] else 0
        return self._chosen(level, known[level], target, period)

    def settle(self, choice: Choice, predict: float, explain: float) -> None:
        """Note that the window was computed, in so many seconds of predicting and of explaining."""
        balance = self._balance + choice.reserved + self._share * predict - explain
        self._balance = min(_LONGEST_PERIOD_AT_ALL * self._earned, max(-_LONGEST_DEBT * self._earned, balance))

    def refund(self, choice: Choice) -> None:
        """Note that the window was not computed."""
        self._balance += choice.reserved

    def _chosen(self, level: int, seconds: float, target: int, period: float | None) -> Choice:
        self._balance -= seconds
        return Choice(level, seconds, target, period)


def _known(costs: Sequence[float | None]) -> list[float]:
    """Take the costs up to the first that is unknown: what is above it comes after it has been tried."""
    return [cost for cost in itertools.takewhile(lambda cost: cost is not None, costs) if cost is not None]


def _saved_for(known: Sequence[float], base: int, earned: float) -> tuple[int, float | None]:
    """Find the highest level above `base` that comes often enough, and every how many windows; else `base` itself."""
    spare = earned - known[base]
    for level in range(len(known) - 1, base, -1):
        longest = _LONGEST_PERIOD if level > base + 1 else _LONGEST_PERIOD_AT_ALL
        if spare > 0 and (period := (known[level] - known[base]) / spare) <= longest:
            return level, period
    return base, None
