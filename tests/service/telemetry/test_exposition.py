"""The text of /metrics, against the reader and the writer of the client library."""

from __future__ import annotations

import math
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from service.telemetry.exposition import Exposition


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Gauge("plain", "no labels", registry=made).set(-2.5)
    counter = Counter("odd", "labels that must be escaped", ("one", "two"), registry=made)
    counter.labels('quote " and \\', "new\nline").inc(3)
    counter.labels("ä", "").inc(1e9)
    histogram = Histogram("seconds", "two buckets", ("model",), buckets=(0.1, 1.0), registry=made)
    for value in (0.05, 0.5, 30.0):
        histogram.labels("m").observe(value)
    return made


def read(text: bytes) -> dict[tuple[str, str], dict[tuple[str, tuple[tuple[str, str], ...]], float]]:
    """Samples by family and type; without creation times, which the service does not write."""
    return {
        (family.name, family.type): {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in family.samples
        }
        for family in text_string_to_metric_families(text.decode())
        if not family.name.endswith("_created")
    }


def test_readers_see_the_same_as_in_the_librarys_own_text() -> None:
    metrics = registry()
    exposition = Exposition()
    assert read(exposition.text(metrics.collect())) == read(generate_latest(metrics))
    assert read(exposition.text(metrics.collect())) == read(generate_latest(metrics))  # from memory, too
    assert len(read(generate_latest(metrics))) == 3


class Odd:
    """A collector of what collectors may bring."""

    def collect(self) -> Iterator[Metric]:
        for name, value in {"yes": True, "whole": 3, "tiny": 1e-7, "huge": 1e21, "most": math.inf}.items():
            yield GaugeMetricFamily(name, "a number", value)
        yield GaugeMetricFamily("least", "a number", -math.inf)
        yield GaugeMetricFamily("none", "a number", math.nan)


def test_numbers_of_every_kind_are_numbers_to_readers() -> None:
    metrics = CollectorRegistry()
    metrics.register(Odd())
    for exemplars in (False, True):
        text = Exposition().text(metrics.collect(), exemplars=exemplars).decode()
        found = dict(line.split() for line in text.splitlines() if not line.startswith("#"))
        # As Go's ParseFloat and OpenMetrics spell them.
        assert (found["yes"], found["most"], found["least"], found["none"]) == ("1.0", "+Inf", "-Inf", "NaN")
        assert (float(found["whole"]), float(found["tiny"]), float(found["huge"])) == (3, 1e-7, 1e21)


def test_remembered_lines_carry_new_values_and_new_series() -> None:
    metrics = CollectorRegistry()
    counter = Counter("calls", "calls", ("code",), registry=metrics)
    exposition = Exposition()
    counter.labels("OK").inc()
    exposition.text(metrics.collect())
    counter.labels("OK").inc()
    counter.labels("CANCELLED").inc(5)
    lines = exposition.text(metrics.collect()).decode().splitlines()
    assert 'calls_total{code="OK"} 2.0' in lines
    assert 'calls_total{code="CANCELLED"} 5.0' in lines


def test_openmetrics_carries_the_exemplars_that_the_librarys_own_text_has() -> None:
    metrics = registry()
    histogram = Histogram("traced", "with exemplars", buckets=(0.1, 1.0), registry=metrics)
    histogram.observe(0.5, {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"})
    histogram.observe(0.05)
    text = Exposition().text(metrics.collect(), exemplars=True).decode()

    def samples(text: str) -> set[object]:
        return {
            (family.name, family.type, sample.name, tuple(sorted(sample.labels.items())), sample.value, said)
            for family in read_openmetrics(text)
            for sample in family.samples
            if not sample.name.endswith("_created")
            for said in [sample.exemplar and (tuple(sample.exemplar.labels.items()), sample.exemplar.value)]
        }

    assert samples(text) == samples(openmetrics.generate_latest(metrics).decode())
    assert text.count(' # {trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 0.5 ') == 1
    # Readers of the classic format would stumble over them.
    assert "trace_id" not in Exposition().text(metrics.collect()).decode()
