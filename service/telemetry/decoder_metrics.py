"""Prometheus metrics of decoder processes, read at every scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class DecoderMetrics(Collector):
    """Collects how often decoder processes were started again."""

    def __init__(self, restarts: Callable[[], int]) -> None:
        """restarts: counts them."""
        self._restarts = restarts

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        yield CounterMetricFamily(
            "actionlens_decoder_restarts", "Times that a decoder process was started again", self._restarts()
        )
