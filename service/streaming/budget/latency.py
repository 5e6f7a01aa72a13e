"""The latency budget: finds the highest level at which answers come in time, by what they took."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

_JUDGED = 3
_LATE = 2
_FAR = 2.0
# What took more of the budget than this counts as late already, so that the 95th percentile stays within the budget.
_IN_TIME = 0.95
# An answer must leave so much of the budget free at the higher level before that level is tried.
_ROOM = 0.8
# With a level whose cost is unknown.
_ROOM_UNKNOWN = 0.5
# To leave out what takes less of the budget than this would not make a late answer timely.
_NOTHING = 0.05
_CALM = 5
_HOLD_SECONDS = 0.5
_LONGEST_HOLD_SECONDS = 60.0

Seconds = Sequence[float | None]
"""Seconds of explaining at each level, from the lowest; None where it was never measured."""


class LatencyBudget:
    """One stream's level, which steps down as soon as answers are late, and up again when they have been early for a
    while.

    A climb that soon turns out wrong doubles the time until the next one, so that a stream between two levels stays on
    the lower one. Without a clock: `now` is seconds on any that rises.
    """

    def __init__(self, budget: float, costs: Seconds, predict: float, now: float) -> None:
        """budget: seconds that an answer may take. predict: seconds of an answer without explanations, about."""
        self.limit = budget
        self.level = max(_highest(costs, _ROOM_UNKNOWN * budget - predict), _highest(costs, _NOTHING * budget))
        self._lags: deque[float] = deque(maxlen=8)
        self._lower: deque[float] = deque(maxlen=8)
        self._hold = _HOLD_SECONDS
        self._since = now
        self._climbed = False

    @property
    def lag(self) -> float | None:
        """The worst of the last answers at this level and below it, seconds; None before the first."""
        return max((*self._lags, *self._lower), default=None)

    def lowest(self, costs: Seconds) -> int:
        """The level below which nothing is gained."""
        return _highest(costs, _NOTHING * self.limit)

    def observe(self, level: int, lag: float, costs: Seconds, now: float) -> None:
        """Note that an answer computed at `level` took `lag` seconds."""
        if level > self.level:
            return  # from before the last step
        # What is late with less would be late with more, but what is in time with less says nothing of more.
        lags = self._lags if level == self.level else self._lower
        lags.append(lag)
        late = [value for value in list(lags)[-_JUDGED:] if value > _IN_TIME * self.limit]
        if self.level > self.lowest(costs) and (len(late) >= _LATE or lag > _FAR * self.limit):
            self._descend(max(late), costs, now)

    def ready(self, costs: Seconds, now: float) -> bool:
        """Whether the next level can be tried."""
        if self.level + 1 >= len(costs) or len(self._lags) < _CALM or now - self._since < self._hold:
            return False
        here, above = costs[self.level], costs[self.level + 1]
        worst = max(*self._lags, *self._lower)
        if here is None or above is None:
            return worst <= _ROOM_UNKNOWN * self.limit
        return worst + above - here <= _ROOM * self.limit

    def climb(self, now: float) -> None:
        """Try the next level."""
        self._climbed = True
        self._move(self.level + 1, now)

    def _descend(self, lag: float, costs: Seconds, now: float) -> None:
        hasty = self._climbed and now - self._since < max(4 * self._hold, 4 * _JUDGED * lag)
        self._hold = min(_LONGEST_HOLD_SECONDS, 2 * self._hold) if hasty else max(_HOLD_SECONDS, self._hold / 2)
        self._climbed = False
        here, lowest = costs[self.level], self.lowest(costs)
        lower = self.level - 1
        while lower > lowest and here is not None and lag - here + (costs[lower] or 0.0) > self.limit:
            lower -= 1
        self._move(lower, now)

    def _move(self, level: int, now: float) -> None:
        self.level = level
        self._since = now
        self._lags.clear()
        self._lower.clear()


def _highest(costs: Seconds, seconds: float) -> int:
    """The highest level that is known to take no longer."""
    return max((level for level, cost in enumerate(costs) if cost is not None and cost <= seconds), default=0)


class ClimbPermits:
    """Lets the streams of one model climb one after the other, so that each sees what the one before did to all."""

    def __init__(self, apart: float = 0.5) -> None:
        """apart: seconds between two climbs."""
        self._apart = apart
        self._last: dict[str, float] = {}
        self._wishes: dict[str, dict[LatencyBudget, float]] = {}

    def permit(self, model: str, budget: LatencyBudget, now: float) -> bool:
        """Whether a stream of this model that is ready may climb now; if so, it must. The lowest goes first."""
        wishes = {other: at for other, at in self._wishes.get(model, {}).items() if now - at < 2 * self._apart}
        self._wishes[model] = wishes | {budget: now}
        if now - self._last.get(model, -self._apart) < self._apart or any(
            other.level < budget.level for other in wishes
        ):
            return False
        self._last[model] = now
        del self._wishes[model][budget]
        return True
