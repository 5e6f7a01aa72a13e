"""One trace from a client's call to the worker and back, kept in memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.client import AsyncClient
from service.errors import Unavailable
from service.server import Server
from service.settings import Traces
from service.telemetry import spans as tracing
from service.telemetry.span_export import exporting
from tests.service.backend import FRAMES, PixelBackend
from tests.service.requests import GRAD_CAM, SELECTIVE, clip_request, pixels
from tests.service.stream_client import BLOCK, EVERY, StreamClient
from tests.waiting import PATIENCE

STAGES = ["decode", "queue", "transport", "encode"]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Keeps all spans that this process makes during the test."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def inside(spans: tuple[ReadableSpan, ...], outer: ReadableSpan) -> list[ReadableSpan]:
    """The spans directly inside another, as they began."""
    found = [span for span in spans if span.parent and span.parent.span_id == outer.context.span_id]
    return sorted(found, key=lambda span: span.start_time or 0)


def named(spans: tuple[ReadableSpan, ...], name: str) -> ReadableSpan:
    (found,) = (span for span in spans if span.name == name)
    return found


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


async def test_a_clip_is_one_trace_from_client_to_worker(
    server: Server, backend: PixelBackend, kept: InMemorySpanExporter
) -> None:
    kept.clear()  # the canary's
    backend.delay = 0.03  # longer than what it says that its stages took
    begun = time.time()
    async with AsyncClient(f"127.0.0.1:{server.port}") as client:
        result = await client.explain_clip(
            [pixels(k) for k in range(FRAMES)], methods=["grad-cam", "selective-relevance"]
        )
    spans = kept.get_finished_spans()
    assert len({span.context.trace_id for span in spans}) == 1
    call = named(spans, "ExplainClip")
    assert (call.parent, call.kind) == (None, trace.SpanKind.CLIENT)
    (answer,) = inside(spans, call)
    assert (answer.name, answer.kind) == ("clip", trace.SpanKind.SERVER)
    assert answer.attributes == {"actionlens.model": "colours"}
    stages = inside(spans, answer)
    assert sorted(span.name for span in stages) == sorted(["queue", *STAGES])  # for a thread, and for the backend
    hop = named(spans, "transport")
    worker = inside(spans, hop)
    assert [span.name for span in worker] == ["forward", "explain", "explain", "encode"]
    methods = [span.attributes["actionlens.method"] for span in worker if span.attributes]
    assert methods == ["grad-cam", "selective-relevance"]
    timings = result.message.timings
    assert seconds(worker[0]) == pytest.approx(timings.forward, abs=1e-6)
    assert [seconds(span) for span in worker[1:3]] == pytest.approx(list(timings.explain), abs=1e-6)
    assert seconds(named(spans, "decode")) == pytest.approx(timings.decode, abs=1e-6)
    for span in (answer, *stages, *worker):
        assert begun - 0.001 <= (span.start_time or 0) / 1e9 <= (span.end_time or 0) / 1e9 <= time.time() + 0.001


async def test_the_metrics_lead_to_the_trace(server: Server, stub: Any, kept: InMemorySpanExporter) -> None:
    kept.clear()
    await stub.ExplainClip(clip_request(GRAD_CAM))
    answer = named(kept.get_finished_spans(), "clip")
    text = server.metrics.text(exemplars=True).decode()
    assert f'# {{trace_id="{trace.format_trace_id(answer.context.trace_id)}"}}' in text


async def test_windows_have_traces_of_their_own_that_link_to_the_stream(
    server: Server, stub: Any, kept: InMemorySpanExporter
) -> None:
    kept.clear()
    caller = trace.SpanContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, is_remote=True)
    header = f"00-{trace.format_trace_id(caller.trace_id)}-{trace.format_span_id(caller.span_id)}-01"
    traced = SimpleNamespace(ExplainStream=lambda: stub.ExplainStream(metadata=(("traceparent", header),)))
    stream = await StreamClient.open(traced, SELECTIVE, fill=BLOCK, consume=EVERY)
    await stream.feed(range(FRAMES + 1))
    await stream.end()
    spans = kept.get_finished_spans()
    windows = [span for span in spans if span.name == "window"]
    assert len(windows) == 2
    assert len({span.context.trace_id for span in windows} | {caller.trace_id}) == 3
    for window in windows:
        assert window.parent is None
        assert [link.context.trace_id for link in window.links] == [caller.trace_id]
        assert sorted(span.name for span in inside(spans, window)) == sorted(["queue", *STAGES])


async def test_a_failed_answer_says_why_in_its_trace(
    server: Server, stub: Any, backend: PixelBackend, kept: InMemorySpanExporter
) -> None:
    kept.clear()
    backend.failures.append(Unavailable("a worker died"))
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.ExplainClip(clip_request())
    answer = named(kept.get_finished_spans(), "clip")
    assert answer.status.status_code is trace.StatusCode.ERROR
    assert "a worker died" in (answer.status.description or "")


async def test_without_the_extra_nothing_is_traced(server: Server, stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_tracer", None)  # as the module is without OpenTelemetry's API
    async with AsyncClient(f"127.0.0.1:{server.port}") as client:
        assert (await client.explain_clip([pixels(k) for k in range(FRAMES)])).prediction.top
    assert "trace_id" not in server.metrics.text(exemplars=True).decode()


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that are sent to it."""

    def __init__(self) -> None:
        self.received: list[trace_service_pb2.ExportTraceServiceRequest] = []

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        self.received.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()


def test_spans_reach_a_collector() -> None:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # In a process of its own, because OpenTelemetry is set up once per process.
    program = (
        "import time; from service import settings; from service.telemetry import span_export, spans\n"
        f"with span_export.exporting(settings.Traces(collector='http://127.0.0.1:{port}')):\n"
        "    with spans.answering('clip', 'm', since=time.perf_counter()): print(spans.trace_id())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True)
    server.stop(None).wait()
    (request,) = collector.received
    (resource,) = request.resource_spans
    names = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
    assert names["service.name"] == "actionlens"
    (span,) = resource.scope_spans[0].spans
    assert (span.name, span.trace_id.hex()) == ("clip", done.stdout.strip())


def test_a_collector_without_the_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with (
        pytest.raises(Unavailable, match=r"actionlens\[tracing\]"),
        exporting(Traces(collector="http://127.0.0.1:4317")),
    ):
        pytest.fail("it must not start")
