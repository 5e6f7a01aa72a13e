"""Prometheus metrics of the backend, read at every scrape."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.backends.protocol import InferenceBackend


class BackendMetrics(Collector):
    """Collects a backend's load, health, restarts and models."""

    def __init__(self, backend: InferenceBackend) -> None:
        self._backend = backend

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
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
        models = GaugeMetricFamily("actionlens_model_info", "1 for every loaded model", labels=("model", "version"))
        for model in backend.models().values():
            models.add_metric((model.name, model.version), 1.0)
        yield models
