"""One stream's budget at work: what each window is asked, and why less than the client wanted."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from actionlens.v1 import answer_pb2, service_pb2
from service.dataplane.cost_estimates import CostEstimates
from service.dataplane.levels import Methods, method_levels, names
from service.dataplane.resolved_request import ResolvedRequest
from service.streaming.budget.latency import Climbs, LatencyBudget, Seconds
from service.streaming.budget.overhead import Choice, OverheadBudget
from service.telemetry.records import predict_seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """ask: with the methods that the budget leaves. reason: why some are left out; empty when none is."""

    ask: ResolvedRequest
    rung: int
    choice: Choice | None
    reason: str
    seconds: float
    """What a worker is expected to take for it; 0 while nothing is known."""
    budget: int
    """Which of the stream's budgets it was planned with; answers to an earlier one teach nothing about the next."""


class BudgetPlanner:
    """Plans the windows of one stream and learns from their answers."""

    def __init__(self, costs: CostEstimates, climbs: Climbs, clock: Callable[[], float] = time.monotonic) -> None:
        self._costs = costs
        self._climbs = climbs
        self._clock = clock
        self._methods: Methods = ()
        self._budget: service_pb2.Budget | None = None
        self._budgets = 0
        self._rungs: tuple[Methods, ...] = ((),)
        self._ladder: LatencyBudget | None = None
        self._allowance: OverheadBudget | None = None

    def plan(self, ask: ResolvedRequest) -> Plan:
        """What is computed for the next window of which `ask` was asked; tell `answered` or `unanswered` later."""
        if (ask.budget, ask.methods) != (self._budget, self._methods):
            self._begin(ask)
        costs, predict = self._seconds(ask.model.name), self._costs.predict(ask.model.name)
        top = len(self._rungs) - 1
        ladder, allowance = self._ladder, self._allowance
        if ladder is not None:
            now = self._clock()
            if ladder.ready(costs, now) and self._climbs.permit(ask.model.name, ladder, now):
                ladder.climb(now)
            top = ladder.rung
        choice = None
        if allowance is not None:
            choice = allowance.choose(costs[: top + 1], predict)
        rung = top if choice is None else choice.rung
        seconds = (predict or 0.0) + (costs[rung] or 0.0)
        return Plan(
            ask.reduced(self._rungs[rung]),
            rung,
            choice,
            self._reason(rung, choice, costs),
            seconds,
            self._budgets,
        )

    def answered(self, plan: Plan, answer: answer_pb2.Answer, lag: float) -> None:
        """A planned window was answered, `lag` seconds after its newest frame came."""
        if plan.budget != self._budgets:
            return
        if plan.choice is not None and self._allowance is not None:
            self._allowance.settle(plan.choice, predict_seconds(answer.timings), sum(answer.timings.explain))
        self._observe(plan, lag)

    def unanswered(self, plan: Plan) -> None:
        """A planned window was given up: later than any budget."""
        if plan.budget != self._budgets:
            return
        if plan.choice is not None and self._allowance is not None:
            self._allowance.refund(plan.choice)
        self._observe(plan, float("inf"))

    def _begin(self, ask: ResolvedRequest) -> None:
        self._methods, self._budget = ask.methods, ask.budget
        self._budgets += 1
        self._rungs, self._ladder, self._allowance = (ask.methods,), None, None
        budget, model = ask.budget, ask.model.name
        if budget is None:
            return
        self._rungs = method_levels(ask.methods)
        if budget.HasField("latency_seconds"):
            predict = self._costs.predict(model) or 0.0
            self._ladder = LatencyBudget(budget.latency_seconds, self._seconds(model), predict, self._clock())
        if budget.HasField("overhead_share"):
            self._allowance = OverheadBudget(budget.overhead_share, phase=random.random())

    def _seconds(self, model: str) -> list[float | None]:
        return [self._costs.explain(model, methods) for methods in self._rungs]

    def _observe(self, plan: Plan, lag: float) -> None:
        if self._ladder is not None:
            self._ladder.observe(plan.rung, lag, self._seconds(plan.ask.model.name), self._clock())

    def _reason(self, rung: int, choice: Choice | None, costs: Seconds) -> str:
        reasons = []
        ladder, budget = self._ladder, self._budget
        if ladder is not None:
            limit = f"{1000 * ladder.budget:.3g} ms"
            if ladder.rung < len(self._rungs) - 1:
                reasons.append(f"{self._gained(len(self._rungs) - 1, ladder.rung)} left out to answer within {limit}")
            if ladder.rung <= ladder.lowest(costs) and (ladder.lag or 0.0) > ladder.budget:
                what = "so" if ladder.rung else "with predictions only"
                reasons.append(f"even {what} answers take longer than {limit} now")
        top = ladder.rung if ladder is not None else len(self._rungs) - 1
        if choice is not None and budget is not None and rung < top:
            share = f"{100 * budget.overhead_share:.0f} %"
            reason = f"{self._gained(top, rung)} left out: explaining may take {share} of predicting"
            if choice.period is not None and choice.dear > rung:
                reason += f"; one window in {choice.period:.0f} has {self._gained(choice.dear, rung)}"
            reasons.append(reason)
        return "; ".join(reasons)

    def _gained(self, higher: int, lower: int) -> str:
        kept = self._rungs[lower]
        return names([method for method in self._rungs[higher] if method not in kept])
