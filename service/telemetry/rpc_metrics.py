"""Prometheus metrics of RPCs, under the names that go-grpc-prometheus gave them and dashboards know."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from service.telemetry.buckets import SECONDS

_CALL = ("grpc_type", "grpc_service", "grpc_method")


class RpcMetrics:
    """Counts and times calls. A call: (type, service, method), of methods that exist; so the labels are few."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._started = Counter("grpc_server_started", "RPCs started", _CALL, registry=registry)
        self._handled = Counter(
            "grpc_server_handled", "RPCs ended, by status", (*_CALL, "grpc_code"), registry=registry
        )
        self._received = Counter("grpc_server_msg_received", "Messages received", _CALL, registry=registry)
        self._sent = Counter("grpc_server_msg_sent", "Messages sent", _CALL, registry=registry)
        self._handling = Histogram(
            "grpc_server_handling_seconds", "Time of RPCs", _CALL, registry=registry, buckets=SECONDS
        )

    def started(self, call: tuple[str, str, str]) -> None:
        """Count an RPC that began."""
        self._started.labels(*call).inc()

    def ended(self, call: tuple[str, str, str], code: str, seconds: float, received: int, sent: int) -> None:
        """Count an RPC that ended with a status, after some seconds and so many messages each way."""
        self._handled.labels(*call, code).inc()
        self._handling.labels(*call).observe(seconds)
        self._received.labels(*call).inc(received)
        self._sent.labels(*call).inc(sent)
