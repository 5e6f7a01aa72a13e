"""Prometheus metrics of answers: their names, labels and buckets. Every server has a registry of its own."""

from __future__ import annotations

import importlib.metadata
import platform

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    Summary,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from actionlens.v1 import service_pb2
from service.backends.protocol import InferenceBackend
from service.telemetry.backend_metrics import BackendMetrics
from service.telemetry.buckets import SECONDS
from service.telemetry.budget_metrics import BudgetMetrics
from service.telemetry.explanation_metrics import ExplanationMetrics
from service.telemetry.live_latency import LiveLatency
from service.telemetry.records import AnswerRecord, FrameCounts
from service.telemetry.rpc_metrics import RpcMetrics

# A sample per counter and histogram that nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

_OUTCOMES = ("used", "dropped_stale", "dropped_full", "rejected")
_STAGES = ("decode", "queue", "transport", "forward", "encode")


class Metrics:
    """All metrics of one server. Cheap to fill from one event loop."""

    def __init__(self, backend: InferenceBackend) -> None:
        self.registry = registry = CollectorRegistry()
        # Of which explaining has the stage "explain", by method, and measuring its explanation "measure".
        self._stage_seconds = Histogram(
            "actionlens_stage_seconds",
            "Time of one stage of an answer; explain has one entry per method, or one for several, measure one each",
            ("model", "method", "stage"),
            registry=registry,
            buckets=SECONDS,
        )
        self._request_seconds = Histogram(
            "actionlens_request_seconds",
            "Time from a clip's arrival to its answer",
            ("model",),
            registry=registry,
            buckets=SECONDS,
        )
        self._lag_seconds = Histogram(
            "actionlens_stream_lag_seconds",
            "Time from the arrival of a window's newest frame to its answer",
            ("model",),
            registry=registry,
            buckets=SECONDS,
        )
        self._predict_seconds = Counter(
            "actionlens_predict_seconds",
            "Time of predicting: of a batch's forward, every clip's share, as explain has shares",
            ("model",),
            registry=registry,
        )
        self._overhead_ratio = Summary(
            "actionlens_overhead_ratio",
            "Time of an explanation over that of the prediction",
            ("model", "method"),
            registry=registry,
        )
        self._frames = Counter("actionlens_frames", "Frames of streams by outcome", ("outcome",), registry=registry)
        self._windows = Counter(
            "actionlens_windows", "Answered windows by explanation level", ("model", "level"), registry=registry
        )
        self._skipped = Counter(
            "actionlens_windows_skipped", "Windows that came due and were not answered", ("model",), registry=registry
        )
        self._last_answer = Gauge(
            "actionlens_last_answer_timestamp_seconds",
            "When the last clip or window was answered, in seconds since 1970",
            ("model",),
            registry=registry,
        )
        self.clips = Gauge("actionlens_clips_in_flight", "Clips being answered", registry=registry)
        self.streams = Gauge("actionlens_streams", "Open streams", registry=registry)
        self.rpcs = RpcMetrics(registry)
        self._explanations = ExplanationMetrics(registry)
        self._budgets = BudgetMetrics(registry)
        self.live = LiveLatency()
        """How long live answers take now."""
        for outcome in _OUTCOMES:
            self._frames.labels(outcome)
        registry.register(BackendMetrics(backend))
        ProcessCollector(registry=registry)
        build = {"version": importlib.metadata.version("actionlens"), "python": platform.python_version()}
        Info("actionlens_build", "The release that runs", registry=registry).info(build)

    def clip_answered(self, record: AnswerRecord) -> None:
        """Observe an answered clip of ExplainClip."""
        exemplar = self._answered(record)
        self._request_seconds.labels(record.model).observe(record.total, exemplar)
        self.live.add(record.total)

    def window_answered(self, record: AnswerRecord, lag: float, budget: service_pb2.Budget | None) -> None:
        """Observe an answered window of a stream. lag: seconds from its newest frame's arrival to its answer."""
        exemplar = self._answered(record)
        self._lag_seconds.labels(record.model).observe(lag, exemplar)
        self.live.add(lag)
        self._windows.labels(record.model, record.level).inc()
        if budget is not None:
            self._budgets.answered(record, lag, budget)

    def frames_moved(self, model: str, before: FrameCounts, now: FrameCounts, skipped: int) -> None:
        """Count a stream's frames by outcome since `before`, and its windows that were skipped since."""
        for outcome in _OUTCOMES:
            self._frames.labels(outcome).inc(getattr(now, outcome) - getattr(before, outcome))
        self._skipped.labels(model).inc(skipped)

    def register(self, collector: Collector) -> None:
        """Also report the metrics of a collector from now on."""
        self.registry.register(collector)

    def forget_answers(self) -> None:
        """Count answers anew, as if none had been given."""
        for metric in (
            self._stage_seconds,
            self._request_seconds,
            self._predict_seconds,
            self._overhead_ratio,
            self._last_answer,
        ):
            metric.clear()
        self._explanations.forget()

    def text(self, exemplars: bool = False) -> bytes:
        """Write all metrics for Prometheus: in the classic format 0.0.4, or with exemplars in OpenMetrics 1.0."""
        write = openmetrics.generate_latest if exemplars else generate_latest
        return write(self.registry)

    def _answered(self, record: AnswerRecord) -> dict[str, str] | None:
        """Observe the metrics that clips and windows share. Returns the exemplar that leads to the answer's trace."""
        exemplar = {"trace_id": record.trace} if record.trace else None
        self._last_answer.labels(record.model).set_to_current_time()
        for stage in _STAGES:
            self._stage_seconds.labels(record.model, "", stage).observe(getattr(record, stage), exemplar)
        self._predict_seconds.labels(record.model).inc(record.predict)
        for method, seconds in record.explaining():
            self._stage_seconds.labels(record.model, method, "explain").observe(seconds, exemplar)
            if record.predict > 0:
                self._overhead_ratio.labels(record.model, method).observe(seconds / record.predict)
        for entry in record.methods:
            if entry.measuring:
                self._stage_seconds.labels(record.model, entry.method, "measure").observe(entry.measuring, exemplar)
        self._explanations.answered(record, exemplar)
        return exemplar
