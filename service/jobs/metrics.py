"""Jobs in Prometheus' terms, read when it asks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from actionlens.v1 import job_pb2
from service.jobs.store.counts import BANDS, Counts


class JobCounter(Protocol):
    """Who knows the numbers."""

    @property
    def counts(self) -> Counts:
        """Of all jobs."""

    def is_open(self) -> bool:
        """Whether jobs can be taken."""

    @property
    def restarts(self) -> int:
        """Times that a job worker had to be started again."""


class JobMetrics(Collector):
    """Jobs by state and band, how long the oldest has waited, and how long blocks take."""

    def __init__(self, jobs: JobCounter) -> None:
        self._jobs = jobs

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        counts = self._jobs.counts
        jobs = GaugeMetricFamily("actionlens_jobs", "Jobs by state and band", labels=("state", "band"))
        oldest = GaugeMetricFamily(
            "actionlens_job_oldest_queued_seconds", "How long the oldest waiting job has waited", labels=("band",)
        )
        for band, name in BANDS.items():
            for state in job_pb2.JobState.values()[1:]:
                label = job_pb2.JobState.Name(state).removeprefix("JOB_STATE_").lower()
                jobs.add_metric((label, name), counts.jobs.get((state, band), 0))
            since = counts.oldest.get(band)
            oldest.add_metric((name,), 0.0 if since is None else max(0.0, time.time() - since))
        yield GaugeMetricFamily(
            "actionlens_jobs_available",
            "1 when jobs are taken, 0 while their database is not open, lost or damaged",
            self._jobs.is_open(),
        )
        yield jobs
        yield oldest
        yield self._blocks(counts)
        yield CounterMetricFamily(
            "actionlens_job_worker_restarts", "Times that a job worker was started again", self._jobs.restarts
        )

    def _blocks(self, counts: Counts) -> Metric:
        buckets, total = [], 0
        for bound, count, _ in counts.blocks:
            total += count
            buckets.append((floatToGoString(bound), float(total)))  # type: ignore[no-untyped-call]
        if buckets:
            buckets[-1] = ("+Inf", buckets[-1][1])
        metric = HistogramMetricFamily("actionlens_job_block_seconds", "Time of one block of a job")
        metric.add_metric((), buckets or [("+Inf", 0.0)], sum(seconds for _, _, seconds in counts.blocks))
        return metric
