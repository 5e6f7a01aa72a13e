"""Plans under one stream's budget which methods each window is explained with, and says why fewer than requested."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from actionlens.v1 import answer_pb2, service_pb2
from service.dataplane.cost_estimates import CostEstimates
from service.dataplane.levels import Level, gained, levels
from service.dataplane.resolved_request import ResolvedRequest
from service.streaming.budget.latency import ClimbPermits, LatencyBudget, Seconds
from service.streaming.budget.overhead import Choice, OverheadBudget
from service.telemetry.records import explain_seconds, predict_seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """One window's request, with the methods that the budget leaves.

    level: how many steps above predictions only. choice: the overhead budget's, if there is one. reason: why methods
    are left out; empty when none is.
    """

    request: ResolvedRequest
    level: int
    choice: Choice | None
    reason: str
    seconds: float
    """Seconds that a worker is expected to take for it; 0 while nothing is known."""
    generation: int
    """Which of the stream's budgets it was planned with; answers to an earlier one teach nothing about the next."""


class BudgetPlanner:
    """Plans the windows of one stream and learns from their answers."""

    def __init__(
        self, costs: CostEstimates, permits: ClimbPermits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._costs = costs
        self._permits = permits
        self._clock = clock
        self._full = Level(())
        self._budget: service_pb2.Budget | None = None
        self._generation = 0
        self._levels: tuple[Level, ...] = (self._full,)
        self._latency: LatencyBudget | None = None
        self._overhead: OverheadBudget | None = None

    def plan(self, request: ResolvedRequest) -> Plan:
        """Plan the next window, whose client requested `request`; call `answered` or `unanswered` with it later."""
        if (request.budget, request.full) != (self._budget, self._full):
            self._begin(request)
        costs, predict = self._seconds(request.model.name), self._costs.predict(request.model.name)
        top = len(self._levels) - 1
        latency, overhead = self._latency, self._overhead
        if latency is not None:
            now = self._clock()
            if latency.ready(costs, now) and self._permits.permit(request.model.name, latency, now):
                latency.climb(now)
            top = latency.level
        choice = None
        if overhead is not None:
            choice = overhead.choose(costs[: top + 1], predict)
        level = top if choice is None else choice.level
        seconds = (predict or 0.0) + (costs[level] or 0.0)
        return Plan(
            request.reduced(self._levels[level]),
            level,
            choice,
            self._reason(level, choice, costs),
            seconds,
            self._generation,
        )

    def answered(self, plan: Plan, answer: answer_pb2.Answer, lag: float) -> None:
        """Learn from a planned window that was answered `lag` seconds after its newest frame came."""
        if plan.generation != self._generation:
            return
        if plan.choice is not None and self._overhead is not None:
            self._overhead.settle(plan.choice, predict_seconds(answer.timings), explain_seconds(answer.timings))
        self._observe(plan, lag)

    def unanswered(self, plan: Plan) -> None:
        """Learn from a planned window that was given up: it is later than any budget."""
        if plan.generation != self._generation:
            return
        if plan.choice is not None and self._overhead is not None:
            self._overhead.refund(plan.choice)
        self._observe(plan, float("inf"))

    def _begin(self, request: ResolvedRequest) -> None:
        self._full, self._budget = request.full, request.budget
        self._generation += 1
        self._levels, self._latency, self._overhead = (self._full,), None, None
        budget, model = request.budget, request.model.name
        if budget is None:
            return
        self._levels = levels(self._full)
        if budget.HasField("latency_seconds"):
            predict = self._costs.predict(model) or 0.0
            self._latency = LatencyBudget(budget.latency_seconds, self._seconds(model), predict, self._clock())
        if budget.HasField("overhead_share"):
            self._overhead = OverheadBudget(budget.overhead_share, phase=random.random())

    def _seconds(self, model: str) -> list[float | None]:
        return [self._costs.explain(model, *level) for level in self._levels]

    def _observe(self, plan: Plan, lag: float) -> None:
        if self._latency is not None:
            self._latency.observe(plan.level, lag, self._seconds(plan.request.model.name), self._clock())

    def _reason(self, level: int, choice: Choice | None, costs: Seconds) -> str:
        reasons = []
        latency, budget = self._latency, self._budget
        if latency is not None:
            limit = f"{1000 * latency.limit:.3g} ms"
            if latency.level < len(self._levels) - 1:
                reasons.append(
                    f"{self._gained(len(self._levels) - 1, latency.level)} left out to answer within {limit}"
                )
            if latency.level <= latency.lowest(costs) and (latency.lag or 0.0) > latency.limit:
                how = "so" if latency.level else "with predictions only"
                reasons.append(f"even {how} answers take longer than {limit} now")
        top = latency.level if latency is not None else len(self._levels) - 1
        if choice is not None and budget is not None and level < top:
            share = f"{100 * budget.overhead_share:.0f} %"
            reason = f"{self._gained(top, level)} left out: explaining may take {share} of predicting"
            if choice.period is not None and choice.saved_for > level:
                reason += f"; one window in {choice.period:.0f} has {self._gained(choice.saved_for, level)}"
            reasons.append(reason)
        return "; ".join(reasons)

    def _gained(self, higher: int, lower: int) -> str:
        return gained(self._levels[higher], self._levels[lower])
