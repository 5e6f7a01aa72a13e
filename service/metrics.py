"""Prometheus metrics: names, labels and buckets in one place. Every server has a registry of its own."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.backends.base import InferenceBackend
from service.exposition import Exposition
from service.jobs.metrics import JobCounter, JobMetrics
from service.jobs.throttle import LiveLatency
from service.records import AnswerRecord
from service.window import Counts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_RATIOS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0)
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_DEFECTS = (-1.0, -0.5, -0.2, -0.1, -0.05, -0.01, 0.0, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0)
_OUTCOMES = ("used", "dropped_stale", "dropped_full", "rejected")


class Metrics:
    """All metrics of one server. Cheap to fill from one event loop."""

    def __init__(self, backend: InferenceBackend) -> None:
        self.registry = registry = CollectorRegistry()
        self._exposition = Exposition()
        self._stage = Histogram(
            "actionlens_stage_seconds",
            "Time of one stage of an answer; explain has one entry per method",
            ("model", "method", "stage"),
            registry=registry,
            buckets=_SECONDS,
        )
        self._request = Histogram(
            "actionlens_request_seconds",
            "Time from a clip's arrival to its answer",
            ("model",),
            registry=registry,
            buckets=_SECONDS,
        )
        self._lag = Histogram(
            "actionlens_stream_lag_seconds",
            "Time from the arrival of a window's newest frame to its answer",
            ("model",),
            registry=registry,
            buckets=_SECONDS,
        )
        self._overhead = Histogram(
            "actionlens_overhead_ratio",
            "Time of an explanation over that of the prediction",
            ("model", "method"),
            registry=registry,
            buckets=_RATIOS,
        )
        self._motion = Histogram(
            "actionlens_motion_share",
            "Share of the relevance that moves",
            ("model", "method"),
            registry=registry,
            buckets=_SHARES,
        )
        self._defect = Histogram(
            "actionlens_conservation_defect",
            "1 - sum of the relevance over the explained logit",
            ("model", "method"),
            registry=registry,
            buckets=_DEFECTS,
        )
        self._frames = Counter(
            "actionlens_frames", "Frames of streams by what became of them", ("outcome",), registry=registry
        )
        self._windows = Counter(
            "actionlens_windows", "Answered windows by explanation level", ("model", "level"), registry=registry
        )
        self._skipped = Counter(
            "actionlens_windows_skipped", "Windows that came due and were not answered", ("model",), registry=registry
        )
        self.clips = Gauge("actionlens_clips_in_flight", "Clips being answered", registry=registry)
        self.streams = Gauge("actionlens_streams", "Open streams", registry=registry)
        self._started = Counter(
            "grpc_server_started", "RPCs started", ("grpc_type", "grpc_service", "grpc_method"), registry=registry
        )
        self._handled = Counter(
            "grpc_server_handled",
            "RPCs ended, by status",
            ("grpc_type", "grpc_service", "grpc_method", "grpc_code"),
            registry=registry,
        )
        self._received = Counter(
            "grpc_server_msg_received",
            "Messages received",
            ("grpc_type", "grpc_service", "grpc_method"),
            registry=registry,
        )
        self._sent = Counter(
            "grpc_server_msg_sent", "Messages sent", ("grpc_type", "grpc_service", "grpc_method"), registry=registry
        )
        self._handling = Histogram(
            "grpc_server_handling_seconds",
            "Time of RPCs",
            ("grpc_type", "grpc_service", "grpc_method"),
            registry=registry,
            buckets=_SECONDS,
        )
        self.live = LiveLatency()
        """What live answers take now."""
        for outcome in _OUTCOMES:
            self._frames.labels(outcome)
        registry.register(_BackendMetrics(backend))

    def clip_answered(self, record: AnswerRecord) -> None:
        """A clip of ExplainClip was answered."""
        self._answered(record)
        self._request.labels(record.model).observe(record.total)
        self.live.add(record.total)

    def window_answered(self, record: AnswerRecord, lag: float) -> None:
        """A window of a stream was answered."""
        self._answered(record)
        self._lag.labels(record.model).observe(lag)
        self.live.add(lag)
        self._windows.labels(record.model, record.level).inc()

    def frames_moved(self, model: str, before: Counts, now: Counts, skipped: int) -> None:
        """What happened to a stream's frames and windows since `before`."""
        for outcome in _OUTCOMES:
            self._frames.labels(outcome).inc(getattr(now, outcome) - getattr(before, outcome))
        self._skipped.labels(model).inc(skipped)

    def call_started(self, call: tuple[str, str, str]) -> None:
        """call: (type, service, method) of an RPC."""
        self._started.labels(*call).inc()

    def call_ended(self, call: tuple[str, str, str], code: str, seconds: float, received: int, sent: int) -> None:
        """An RPC ended with a status, after so many messages each way."""
        self._handled.labels(*call, code).inc()
        self._handling.labels(*call).observe(seconds)
        self._received.labels(*call).inc(received)
        self._sent.labels(*call).inc(sent)

    def show_jobs(self, jobs: JobCounter) -> None:
        """Also tell of jobs, from now on."""
        self.registry.register(JobMetrics(jobs))

    def text(self) -> bytes:
        """The exposition text for Prometheus."""
        return self._exposition.text(self.registry.collect())

    def _answered(self, record: AnswerRecord) -> None:
        for stage in ("decode", "queue", "transport", "forward", "encode"):
            self._stage.labels(record.model, "", stage).observe(getattr(record, stage))
        for entry in record.methods:
            self._stage.labels(record.model, entry.method, "explain").observe(entry.seconds)
            if record.predict > 0:
                self._overhead.labels(record.model, entry.method).observe(entry.seconds / record.predict)
            if entry.motion_share is not None:
                self._motion.labels(record.model, entry.method).observe(entry.motion_share)
            if entry.conservation_defect is not None:
                self._defect.labels(record.model, entry.method).observe(entry.conservation_defect)


class _BackendMetrics(Collector):
    """The backend's own numbers, read when Prometheus asks."""

    def __init__(self, backend: InferenceBackend) -> None:
        self._backend = backend

    def collect(self) -> Iterable[Metric]:
        backend = self._backend
        in_flight, capacity = backend.in_flight(), backend.capacity()
        yield GaugeMetricFamily(
            "actionlens_backend_in_flight", "Clips in flight at the backend", min(in_flight, capacity)
        )
        yield GaugeMetricFamily(
            "actionlens_backend_queue_depth", "Clips that wait for the backend", max(in_flight - capacity, 0)
        )
        yield GaugeMetricFamily("actionlens_backend_capacity", "Clips that may be in flight at once", capacity)
        yield GaugeMetricFamily("actionlens_backend_healthy", "1 while the backend answers", float(backend.healthy()))
        yield CounterMetricFamily(
            "actionlens_worker_restarts", "Times that a worker or its server was started again", backend.restarts()
        )
