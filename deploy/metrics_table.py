"""Writes docs/metrics.md from the service's own registry: python -m deploy.metrics_table"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import Metric

from actionlens.v1 import service_pb2
from service.backends.in_process import InProcessBackend
from service.jobs.metrics import JobMetrics
from service.jobs.store.counts import Counts
from service.settings import Settings
from service.telemetry.decoder_metrics import DecoderMetrics
from service.telemetry.explanation_metrics import CLASSES
from service.telemetry.metrics import Metrics
from service.telemetry.process_metrics import ROLES, ProcessMetrics
from service.telemetry.records import AnswerRecord, FrameCounts, MethodRecord

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"

_HEAD = """# Metrics

`http://HOST:8471/metrics`, for Prometheus. Times are in seconds. Histograms have `_bucket`, `_sum` and `_count`
(those of numbers that may be negative have no `_sum`), summaries `_sum` and `_count`. A reader that asks for
OpenMetrics, as Prometheus does, gets exemplars with the `trace_id` of a traced answer ([operating.md](operating.md)).

This page is written by `python -m deploy.metrics_table`.

"""
_TAIL = f"""
## Labels

No label has an id in it, and none takes a value that a client can make up.

| label | values |
|---|---|
| `model`, `version` | the models that are loaded |
| `method` | the methods of the contract; `several` for a sum of them; empty for stages that belong to none |
| `stage` | `decode`, `queue`, `transport`, `forward`, `explain`, `measure`, `encode` |
| `outcome` | `used`, `dropped_stale`, `dropped_full`, `rejected` |
| `level` | `prediction`, `grad_cam`, `selective_relevance`, `temporal_relevance` |
| `class` | the first {CLASSES} classes that a model predicts, and `other` |
| `statistic` | `average`, `maximum` |
| `role` | {", ".join(f"`{role}`" for role in ROLES)} |
| `python` | the version of Python |
| `state`, `band` | as in `actionlens.v1.JobState`; `low`, `normal`, `high` |
| `grpc_type`, `grpc_service`, `grpc_method`, `grpc_code` | RPCs that exist, and gRPC's status codes |
"""


class NoJobs:
    """Stands for the jobs of a service that has none."""

    counts = Counts({}, {}, ((1.0, 0, 0.0),))
    restarts = 0

    def is_open(self) -> bool:
        """Tell that jobs are not open."""
        return False


def page() -> str:
    """Make the page's text."""
    rows = "".join(
        f"| `{_name(metric)}` | {metric.type} | {_labels(metric)} | {metric.documentation} |\n" for metric in families()
    )
    return f"{_HEAD}| name | type | labels | what |\n|---|---|---|---|\n{rows}{_TAIL}"


def families() -> Iterable[Metric]:
    """Collect every metric of a service, each with a sample at least where it has labels."""
    metrics = Metrics(InProcessBackend(Settings()))
    metrics.register(JobMetrics(NoJobs()))
    metrics.register(DecoderMetrics(lambda: 0))
    metrics.register(ProcessMetrics(os.getpid()))
    call = ("", "", "")
    metrics.rpcs.started(call)
    metrics.rpcs.ended(call, "OK", 0.0, 0, 0)
    method = MethodRecord(
        "",
        0.0,
        failed=False,
        motion_share=0.0,
        conservation_defect=0.0,
        average_length=1.0,
        maximum_length=1.0,
        measuring=1.0,
        insertion_deletion_gap=0.0,
        agreement=0.0,
    )
    record = AnswerRecord("", "", "", 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, (method,), False, "")
    metrics.clip_answered(record)
    metrics.window_answered(record, 0.0, service_pb2.Budget(overhead_share=0.0, latency_seconds=1.0))
    metrics.frames_moved("", FrameCounts(), FrameCounts(), 0)
    return sorted(metrics.registry.collect(), key=lambda metric: metric.name)


def _name(metric: Metric) -> str:
    return metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


def _labels(metric: Metric) -> str:
    seen = (name for sample in metric.samples for name in sample.labels if name != "le")
    # A family without samples, like that of the loaded models here, still knows its labels.
    names = dict.fromkeys((*getattr(metric, "_labelnames", ()), *seen))
    return ", ".join(f"`{name}`" for name in names) or "–"


if __name__ == "__main__":
    PAGE.write_text(page())
