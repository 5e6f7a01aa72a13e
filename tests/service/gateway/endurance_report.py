"""Reports on minutes of the page: as a table, a few sentences and a chart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

LEVELS = ("prediction", "Grad-CAM", "selective relevance", "all")
"""Explanation levels from the lowest: actionlens.v1.ExplanationLevel from 1 on."""
_MEMORY = {"service": "service", "workers": "workers", "page": "page", "heap": "its heap"}
# Models, caches and browsers fill up in the beginning.
_WARM_MINUTES = 1.0
# Fewer samples tell no slope.
_LEAST = 3


@dataclass(frozen=True)
class Sample:
    """Measurements since the sample before. Memory in MiB, lags in seconds, frames since the stream opened.

    levels: windows by explanation level. missing: frames that the page left out, underway: captured and not yet known
    to the service, uncounted: received and in none of the service's counts.
    """

    minutes: float
    service: float
    workers: float
    page: float
    heap: float
    lags: list[float]
    received: int
    dropped: int
    missing: int
    underway: int
    skipped: int
    uncounted: int
    levels: dict[int, int]


def table(samples: Sequence[Sample]) -> str:
    """One line per sample below a line of titles."""
    titles = (
        "  min service workers   page   heap windows  p50 ms  p95 ms "
        "received dropped missing underway skipped uncounted"
    )
    rows = [
        f"{s.minutes:5.1f} {s.service:7.0f} {s.workers:7.0f} {s.page:6.0f} {s.heap:6.1f} {len(s.lags):7d} "
        f"{1000 * lag(s.lags, 0.5):7.0f} {1000 * lag(s.lags, 0.95):7.0f} {s.received:8d} {s.dropped:7d} {s.missing:7d} "
        f"{s.underway:8d} {s.skipped:7d} {s.uncounted:9d}"
        for s in samples
    ]
    return "\n".join([titles, *rows])


def lag(lags: Sequence[float], share: float) -> float:
    """A quantile, seconds; NaN of nothing."""
    return float(np.quantile(lags, share)) if lags else float("nan")


def verdict(samples: Sequence[Sample], budget: float | None) -> str:
    """Sum up all samples in sentences. budget: of the latency, seconds."""
    lags = [value for sample in samples for value in sample.lags]
    levels = sum((Counter(sample.levels) for sample in samples), Counter[int]())
    last = samples[-1]
    p95 = lag(lags, 0.95)
    lines = [
        f"{len(lags)} windows in {last.minutes:.1f} min, {last.skipped} skipped; "
        f"lag p50 {1000 * lag(lags, 0.5):.0f} ms, p95 {1000 * p95:.0f} ms"
    ]
    if budget is not None:
        late = sum(value > budget for value in lags) / max(1, len(lags))
        kept = "within" if p95 <= budget else "ABOVE"
        lines.append(
            f"p95 is {kept} the budget of {1000 * budget:.0f} ms; {100 * late:.1f} % of the windows came later"
        )
    shares = [f"{name} {100 * levels[level] / max(1, len(lags)):.0f} %" for level, name in enumerate(LEVELS, 1)]
    lines.append(f"levels: {', '.join(shares)}")
    worst = max((sample.uncounted for sample in samples), key=abs)
    lines.append(
        f"frames: {last.received} received, {last.dropped} dropped, {last.missing} not sent, at most "
        f"{max(sample.underway for sample in samples)} underway, {worst} uncounted"
    )
    warm = [sample for sample in samples if sample.minutes > _WARM_MINUTES]
    if len(warm) >= _LEAST:
        slopes = [f"{title} {_slope(warm, name):+.2f}" for name, title in _MEMORY.items()]
        lines.append(f"memory after the first minute, MiB per minute: {', '.join(slopes)}")
    return "\n".join(lines)


def _slope(samples: Sequence[Sample], name: str) -> float:
    """Fit how much a sample's number grows in a minute."""
    minutes = [sample.minutes for sample in samples]
    return float(np.polyfit(minutes, [getattr(sample, name) for sample in samples], 1)[0])


def draw(samples: Sequence[Sample], budget: float | None, path: Path) -> None:
    """Draw memory, lag beside the budget, and the explanation levels over time, as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (memory, lags, levels) = pyplot.subplots(1, 3, figsize=(15, 4), layout="constrained")
    minutes = [sample.minutes for sample in samples]
    for name, title in _MEMORY.items():
        memory.plot(minutes, [getattr(sample, name) for sample in samples], marker=".", label=title)
    memory.set(xlabel="minutes", ylabel="MiB", title="Memory", ylim=(0, None))
    for share, title in ((0.5, "median"), (0.95, "95 %")):
        lags.plot(minutes, [1000 * lag(sample.lags, share) for sample in samples], marker=".", label=title)
    if budget is not None:
        lags.axhline(1000 * budget, color="black", linestyle="--", linewidth=1, label="budget")
    lags.set(xlabel="minutes", ylabel="ms", title="Lag of a window", ylim=(0, None))
    counts = [[sample.levels.get(level, 0) / max(1, len(sample.lags)) for sample in samples] for level in range(1, 5)]
    starts = [0.0, *minutes[:-1]]
    widths = [end - start for start, end in zip(starts, minutes, strict=True)]
    below = list(accumulate(counts, lambda low, high: [a + b for a, b in zip(low, high, strict=True)]))
    for number, name in enumerate(LEVELS):
        floor = below[number - 1] if number else 0.0
        levels.bar(starts, counts[number], widths, bottom=floor, align="edge", label=name)
    levels.set(xlabel="minutes", ylabel="share of the windows", title="Explanation levels", ylim=(0, 1))
    for axes in (memory, lags, levels):
        axes.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
