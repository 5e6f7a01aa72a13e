"""The text of /metrics, as a service's own registry makes it, read back by the client library's parsers."""

from __future__ import annotations

import math
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_classic
from prometheus_client.registry import Collector

from service.telemetry.metrics import Metrics
from tests.service.backend import PixelBackend

CALL = ("unary", 'quote " and \\', "new\nline")


class EveryKindOfNumber(Collector):
    """Brings what collectors may bring."""

    def collect(self) -> Iterator[Metric]:
        for name, value in {"yes": True, "whole": 3, "tiny": 1e-7, "huge": 1e21, "most": math.inf}.items():
            yield GaugeMetricFamily(name, "a number", value)
        yield GaugeMetricFamily("least", "a number", -math.inf)
        yield GaugeMetricFamily("none", "a number", math.nan)


def test_numbers_of_every_kind_are_numbers_to_readers() -> None:
    metrics = Metrics(PixelBackend())
    metrics.register(EveryKindOfNumber())
    for exemplars in (False, True):
        lines = metrics.text(exemplars).decode().splitlines()
        found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        # As Go's ParseFloat and OpenMetrics spell them.
        assert (found["yes"], found["most"], found["least"], found["none"]) == ("1.0", "+Inf", "-Inf", "NaN")
        assert (float(found["whole"]), float(found["tiny"]), float(found["huge"])) == (3, 1e-7, 1e21)


def test_both_formats_say_the_same_without_creation_times() -> None:
    metrics = Metrics(PixelBackend())
    metrics.rpcs.started(CALL)
    metrics.rpcs.ended(CALL, "OK", 0.5, received=1, sent=2)
    classic, opened = (
        {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in read(metrics.text(exemplars).decode())
            for sample in family.samples
            # Its clocks go on between two readings.
            if not sample.name.startswith("process_")
        }
        for read, exemplars in ((read_classic, False), (read_openmetrics, True))
    )
    assert classic == opened
    labels = tuple(sorted(zip(("grpc_type", "grpc_service", "grpc_method"), CALL, strict=True)))
    assert classic["grpc_server_msg_sent_total", labels] == 2
    assert classic["grpc_server_handling_seconds_sum", labels] == 0.5
    assert not [name for name, _ in classic if name.endswith("_created")]
