"""Admits a stream if it can be served beside the open ones, each of which takes at least what its budget cannot leave
out."""

from __future__ import annotations

from collections.abc import Iterable

from service.dataplane.cost_estimates import CostEstimates
from service.dataplane.resolved_request import ResolvedRequest
from service.errors import ResourceExhausted
from service.settings import StreamSettings

_RETRY_SECONDS = 5.0


def check_room(
    request: ResolvedRequest,
    others: Iterable[ResolvedRequest],
    costs: CostEstimates,
    slots: int,
    bounds: StreamSettings,
) -> None:
    """Refuse a stream that could not be served even with predictions only.

    others: the requests of the open streams of the same model. slots: windows that are at the backend at once. All
    streams are taken to have a window waiting at any time. The first is always let in: the costs are from a busier time
    then, and only a stream measures them anew. Raises ResourceExhausted.
    """
    model = request.model.name
    predict = costs.predict(model)
    floors = sorted((_floor(other, costs, predict or 0.0) for other in others), reverse=True)
    if predict is None or not floors:
        return
    budget = request.budget
    lag = predict + min(sum(floors[: slots - 1]), bounds.ahead_seconds + floors[0])
    if budget is not None and budget.HasField("latency_seconds") and lag > budget.latency_seconds:
        raise ResourceExhausted(
            f"open.budget.latency_seconds: beside {len(floors)} open streams a prediction of {model} takes "
            f"{1000 * lag:.0f} ms, longer than {1000 * budget.latency_seconds:.0f} ms; try again later or allow more",
            field="open.budget.latency_seconds",
            reason="BUDGET_TOO_SMALL",
            retry_after=_RETRY_SECONDS,
        )
    pause = sum(floors) + _floor(request, costs, predict)
    if pause > bounds.turn_seconds:
        raise ResourceExhausted(
            f"beside {len(floors)} open streams of {model} this one would be answered every {pause:.1f} s "
            f"only; try again later, or ask for fewer methods",
            reason="TOO_MUCH_ASKED",
            retry_after=_RETRY_SECONDS,
        )


def _floor(request: ResolvedRequest, costs: CostEstimates, predict: float) -> float:
    """Estimate the seconds that a window of the stream takes at the least."""
    budget, explain = request.budget, costs.explain(request.model.name, *request.full)
    if budget is None:
        return predict + (explain or 0.0)
    if budget.HasField("latency_seconds"):
        return predict
    allowed = budget.overhead_share * predict
    return predict + (allowed if explain is None else min(allowed, explain))
