"""Prometheus metrics of whether streams keep their budgets. Windows of streams without a budget are not counted."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from actionlens.v1 import service_pb2
from service.telemetry.records import AnswerRecord


class BudgetMetrics:
    """Counts the seconds of explaining beside those that were allowed, and the windows that came later than allowed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._explained = Counter(
            "actionlens_budget_explain_seconds",
            "Time of explaining under overhead budgets",
            ("model",),
            registry=registry,
        )
        self._allowed = Counter(
            "actionlens_budget_allowed_seconds",
            "Time of explaining that overhead budgets allowed",
            ("model",),
            registry=registry,
        )
        self._windows = Counter(
            "actionlens_budget_windows", "Answered windows under latency budgets", ("model",), registry=registry
        )
        self._late = Counter(
            "actionlens_budget_late", "Answered windows that took longer than allowed", ("model",), registry=registry
        )

    def answered(self, record: AnswerRecord, lag: float, budget: service_pb2.Budget) -> None:
        """Count a window of a stream with this budget, which was answered after `lag` seconds."""
        model = record.model
        if budget.HasField("overhead_share"):
            self._explained.labels(model).inc(sum(entry.seconds + entry.measuring for entry in record.methods))
            self._allowed.labels(model).inc(budget.overhead_share * record.predict)
        if budget.HasField("latency_seconds"):
            self._windows.labels(model).inc()
            self._late.labels(model).inc(lag > budget.latency_seconds)
