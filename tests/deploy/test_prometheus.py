"""A real Prometheus reads a real service that explains a real clip: every panel and every alert has data."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_trace_id

from service.client import Client
from service.client.frame_sources import open_source
from service.settings import BackendName, Settings
from service.telemetry import spans as tracing
from tests.conftest import absent
from tests.deploy.prometheus import Prometheus
from tests.deploy.test_files import dashboard_queries, rules
from tests.service.gateway.running import MODEL, ROOT, Running
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.timeout(300)

METHODS = ["grad-cam", {"selective-relevance": {}}, "dtd", "atr"]
_THRESHOLD = re.compile(r"^(.*)\s>\s*[\d.]+\s*$", re.DOTALL)


def real_clip() -> Path:
    """A recorded clip with evidence for its class, without which there is no motion share; else the sample."""
    recorded = Path(os.environ.get("ACTIONLENS_TEST_ASSETS", "")) / "clips/jester/43246.mp4"
    return recorded if recorded.is_file() else ROOT / "model_store" / MODEL / "sample.mp4"


class Load:
    """A client that explains a clip over and over, as clip and as stream, until it is stopped."""

    def __init__(self, address: str, clip: Path) -> None:
        self._address = address
        self._clip = clip
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is under way; raises what went wrong."""
        self._stopping.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with Client(self._address, timeout=PATIENCE) as client:
                client.jobs.submit(self._clip, "integrated-gradients:steps=4")
                while not self._stopping.is_set():
                    client.explain_clip(self._clip, methods=METHODS)
                    self._stream(client, hop=2, latency_budget=5.0, overhead_budget=0.5)
                    self._stream(client, hop=20, insertion_deletion_gap=True)
                    self._stopping.wait(2.0)
        except Exception as error:
            self._failure = error

    def _stream(self, client: Client, **options: Any) -> None:
        source = open_source(str(self._clip))
        frames = islice(source.frames, 20)
        with client.explain_stream(frames, methods=["grad-cam"], max_side=160, **options) as windows:
            for _ in windows:
                pass
        source.close()


@pytest.fixture(scope="module")
def spans() -> Iterator[InMemorySpanExporter]:
    """Keeps the spans of all that this process does meanwhile."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "_tracer", provider.get_tracer("test"))
        yield exporter
    provider.shutdown()


@pytest.fixture(scope="module")
def prometheus(spans: InMemorySpanExporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus at a service under load."""
    program = shutil.which("prometheus")
    if program is None:
        absent("prometheus", "apt-get install prometheus")
    store = tmp_path_factory.mktemp("store")
    (store / MODEL).symlink_to(ROOT / "model_store" / MODEL)
    service = Running(
        Settings(
            port=0,
            metrics_port=0,
            page_port=0,
            model_store=store,
            backend=BackendName.IN_PROCESS,
            threads=1,
            data=tmp_path_factory.mktemp("data"),
            drain_seconds=5,
            jobs={"poll_seconds": 0.1, "threads": 1, "yield_seconds": 0.0, "nice": 0},
        )
    )
    service.start()
    assert service.server is not None
    watching = Prometheus(program, tmp_path_factory.mktemp("prometheus"), f"127.0.0.1:{service.server.metrics_port}")
    load = Load(f"127.0.0.1:{service.server.port}", real_clip())
    yield watching
    load.stop()
    watching.stop()
    service.close()


def test_every_panel_and_every_alert_has_data(prometheus: Prometheus) -> None:
    queries = [query.replace("$model", ".*").replace("$__rate_interval", "1m") for query in dashboard_queries()]
    for rule in rules("alerts.yml"):
        watched = _THRESHOLD.match(rule["expr"])
        assert watched is not None, rule["expr"]
        queries.append(watched[1])
    assert len(queries) > 40
    empty = queries

    def all_have_data() -> bool:
        nonlocal empty
        empty = [query for query in empty if not prometheus.values(query)]
        return not empty

    wait_until(all_have_data, 2 * PATIENCE, lambda: f"for data of {empty}")
    groups = prometheus.get("rules")["groups"]
    assert [rule["lastError"] for group in groups for rule in group["rules"] if rule["health"] != "ok"] == []


def test_a_slow_answer_leads_to_its_trace(prometheus: Prometheus, spans: InMemorySpanExporter) -> None:
    now = time.time()
    found = prometheus.get(
        "query_exemplars", query="actionlens_request_seconds_bucket", start=str(now - 600), end=str(now)
    )
    traces = {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
    finished = spans.get_finished_spans()
    # The service's first answer, to itself, began at no client.
    traces &= {format_trace_id(span.context.trace_id) for span in finished if span.name == "ExplainClip"}
    assert traces
    kept = [span for span in finished if format_trace_id(span.context.trace_id) in traces]
    # What the worker says of itself belongs to the way to it and back; its times are by its own clock.
    hops = {span.context.span_id for span in kept if span.name == "transport"}
    assert len(hops) == len(traces)
    inside = [span.name for span in kept if span.parent is not None and span.parent.span_id in hops]
    assert sorted(inside) == sorted(["forward", *["explain"] * len(METHODS), "encode"] * len(hops))
