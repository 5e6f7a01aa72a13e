"""Exports the service's spans to an OpenTelemetry collector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Unavailable
from service.settings import Traces


@contextmanager
def exporting(settings: Traces) -> Iterator[None]:
    """Send the spans of this process to the collector, if one is set; the last ones at the end.

    Raises Unavailable when the extra `tracing` is not installed.
    """
    if not settings.collector:
        yield
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise Unavailable(
            f"traces.collector: {error.name} is not installed; pip install 'actionlens[tracing]', or unset "
            "ACTIONLENS_TRACES__COLLECTOR",
            field="traces.collector",
            reason="TRACING_NOT_INSTALLED",
        ) from None
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.share)),
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come before this.
        resource=Resource.create({"service.name": "actionlens"}),
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.collector, insecure=True)))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()
