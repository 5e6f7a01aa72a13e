"""Traces with OpenTelemetry: one from the client's call through the service to the worker and back.

Without the extra `tracing`, everything here does nothing. With it, spans are kept where somebody has set OpenTelemetry
up: the service does in `service/telemetry/span_export.py`, a client's program may.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from google.protobuf.message import Message

from service.backends.protocol import Reply

try:
    from opentelemetry import context, propagate, trace
except ImportError:
    _tracer: Any = None
else:
    _tracer = trace.get_tracer("actionlens")

Metadata = Sequence[tuple[str, str]]


@contextmanager
def calling(request: Message) -> Iterator[Metadata | None]:
    """Around a client's call with this request: its span, and the metadata that take it along."""
    if _tracer is None:
        yield None
        return
    name = request.DESCRIPTOR.name.removesuffix("Request")
    with _tracer.start_as_current_span(name, kind=trace.SpanKind.CLIENT):
        yield outgoing()


def outgoing() -> Metadata | None:
    """The metadata that carry the current span to the service."""
    if _tracer is None:
        return None
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return tuple(carrier.items())


@contextmanager
def caller(metadata: Mapping[str, str]) -> Iterator[None]:
    """Around a served call: the client's span is the current one. metadata: the call's, text only."""
    if _tracer is None:
        yield
        return
    token = context.attach(propagate.extract(metadata))
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def answering(name: str, model: str, *, since: float, apart: bool = False) -> Iterator[None]:
    """Around one answer: a span since `since` (time.perf_counter), whose parent is the current one.

    apart: begin a trace of its own, which only links to the current span; a stream may have answers for hours.
    """
    if _tracer is None:
        yield
        return
    around = trace.get_current_span().get_span_context()
    with _tracer.start_as_current_span(
        name,
        context=context.Context() if apart else None,
        kind=trace.SpanKind.SERVER,
        links=[trace.Link(around)] if apart and around.is_valid else None,
        attributes={"actionlens.model": model},
        start_time=_clock(since),
    ):
        yield


def stage(name: str, begun: float, ended: float) -> None:
    """Add the span of a stage of the current answer, from and to times of time.perf_counter."""
    if _tracer is not None:
        end = _clock(ended)
        _span(name, end - round((ended - begun) * 1e9), end)


def computed(begun: float, reply: Reply) -> None:
    """Add the spans of a computation that began at `begun` (time.perf_counter) and has just been replied to.

    The worker's stages are laid one after the other from when it began. In a batch, a clip has its own explanations
    only; those of the others are a gap.
    """
    if _tracer is None:
        return
    times = reply.response.timings
    stage("queue", begun, begun + reply.queue)
    sent = _clock(begun + reply.queue)
    outer = _span("transport", sent, time.time_ns(), {"actionlens.batch_size": times.batch_size})
    inside = trace.set_span_in_context(outer)
    at = round(times.started * 1e9) or sent
    explanations = zip(reply.response.explanations, times.explain, strict=False)
    spent = [(entry.method, seconds) for entry, seconds in explanations]
    if times.explain_together and len(spent) > 1:
        spent = [(", ".join(method for method, _ in spent), sum(times.explain))]
    stages = [
        ("forward", {}, times.forward),
        *(("explain", {"actionlens.method": method}, seconds) for method, seconds in spent),
        *(
            ("measure", {"actionlens.method": entry.method}, seconds)
            for entry, seconds in zip(reply.response.explanations, times.measure, strict=False)
        ),
        ("encode", {}, times.encode),
    ]
    for name, attributes, seconds in stages:
        end = at + round(seconds * 1e9)
        _span(name, at, end, attributes, inside)
        at = end


def trace_id() -> str:
    """The current trace in hexadecimal, if it is kept; else ""."""
    if _tracer is None:
        return ""
    span = trace.get_current_span()
    there = span.get_span_context()
    return trace.format_trace_id(there.trace_id) if span.is_recording() and there.trace_flags.sampled else ""


def _span(
    name: str, begun: int, ended: int, attributes: Mapping[str, str | int] | None = None, inside: Any = None
) -> Any:
    span = _tracer.start_span(name, inside, attributes=attributes, start_time=begun)
    span.end(ended)
    return span


def _clock(at: float) -> int:
    """A time of time.perf_counter in nanoseconds since 1970."""
    return time.time_ns() - round((time.perf_counter() - at) * 1e9)
