"""The text that Prometheus reads, made fast: a scrape holds up the event loop, and the client library's own text
takes 12 us per line, most of it for names and labels that never change."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from prometheus_client import disable_created_metrics
from prometheus_client.core import Metric
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
"""Content type of the classic text."""
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""Content type of the text that also has exemplars."""

# A sample per counter and histogram that nobody reads, for a tenth of the time.
disable_created_metrics()  # type: ignore[no-untyped-call]

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Exposition:
    """Writes metrics without `_created` times, finite values as Python writes them. Remembers the beginning of every
    line."""

    def __init__(self) -> None:
        self._beginnings: dict[tuple[str, ...], str] = {}

    def text(self, metrics: Iterable[Metric], *, exemplars: bool = False) -> bytes:
        """All samples of these metrics, which must be counters, gauges, summaries and histograms.

        exemplars: write OpenMetrics 1.0, which has them, instead of the format 0.0.4.
        """
        beginnings = self._beginnings
        lines: list[str] = []
        for metric in metrics:
            name = f"{metric.name}_total" if metric.type == "counter" and not exemplars else metric.name
            lines.append(f"# HELP {name} {metric.documentation}\n# TYPE {name} {metric.type}\n")
            for series, labels, value, _, exemplar, _ in metric.samples:
                key = (series, *labels.values())
                beginning = beginnings.get(key)
                if beginning is None:
                    beginning = beginnings[key] = _beginning(series, labels)
                end = _exemplar(exemplar) if exemplars and exemplar is not None else ""
                lines.append(f"{beginning}{_number(value)}{end}\n")
        if exemplars:
            lines.append("# EOF\n")
        return "".join(lines).encode()


def _beginning(name: str, labels: dict[str, str]) -> str:
    inside = _inside(labels)
    return f"{name}{{{inside}}} " if inside else f"{name} "


def _exemplar(exemplar: Exemplar) -> str:
    at = f" {exemplar.timestamp:.3f}" if exemplar.timestamp is not None else ""
    return f" # {{{_inside(exemplar.labels)}}} {_number(exemplar.value)}{at}"


def _number(value: float) -> float | str:
    # Collectors may bring True; and Python writes NaN and the infinities as OpenMetrics does not.
    return float(value) if isfinite(value) else floatToGoString(value)  # type: ignore[no-untyped-call]


def _inside(labels: dict[str, str]) -> str:
    return ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in labels.items())
