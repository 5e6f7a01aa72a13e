"""The results of benchmarks/load.py as a table and as a plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

_HEAD = (
    "| budget | streams | windows/s | lag p50 / p95 ms | prediction / Grad-CAM / selective / all % | overhead % "
    "| frames used / stale / over % | windows skipped | refused | uncounted | MiB service / with workers |"
)
_LEVELS = {1: "prediction only", 2: "Grad-CAM", 3: "and selective relevance", 4: "all"}
_COLOURS = ("#b8b8b8", "#7fb3d5", "#2e86c1", "#1b4f72")


@dataclass
class Run:
    """Counts over all streams of one run after the warm-up. memory: MiB of the service and of all its processes."""

    budget: str
    streams: int
    seconds: float
    lags: list[float] = field(default_factory=list)
    levels: Counter[int] = field(default_factory=Counter)
    explain: float = 0.0
    predict: float = 0.0
    refused: int = 0
    uncounted: int = 0
    frames: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    memory: tuple[float, float] = (0.0, 0.0)


def table(runs: Sequence[Run]) -> str:
    """Markdown, one row per run."""
    rows = [_HEAD, "|" + "---|" * (_HEAD.count("|") - 1)]
    for run in runs:
        windows = max(1, len(run.lags))
        received = max(1, run.frames["received"])
        levels = " / ".join(f"{100 * run.levels[level] / windows:.0f}" for level in _LEVELS)
        frames = " / ".join(
            f"{100 * run.frames[name] / received:.0f}" for name in ("used", "dropped_stale", "dropped_full")
        )
        cells = (
            run.budget,
            run.streams,
            f"{len(run.lags) / run.seconds:.1f}",
            f"{1000 * percentile(run.lags, 0.5):.0f} / {1000 * percentile(run.lags, 0.95):.0f}",
            levels,
            f"{100 * run.explain / run.predict:.0f}" if run.predict else "",
            frames,
            run.skipped,
            run.refused,
            run.uncounted,
            f"{run.memory[0]:.0f} / {run.memory[1]:.0f}",
        )
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def percentile(values: Sequence[float], share: float) -> float:
    """Of unordered values; not a number without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def plot(runs: Sequence[Run], path: Path) -> None:
    """Lag, windows per second and the mix of levels over the number of streams."""
    budgets = list(dict.fromkeys(run.budget for run in runs))
    figure, axes = plt.subplots(1, 2 + len(budgets), figsize=(4 * (2 + len(budgets)), 3.6), layout="constrained")
    for budget in budgets:
        mine = [run for run in runs if run.budget == budget]
        streams = [run.streams for run in mine]
        (line,) = axes[0].plot(streams, [1000 * percentile(run.lags, 0.95) for run in mine], "o-", label=budget)
        axes[0].plot(streams, [1000 * percentile(run.lags, 0.5) for run in mine], "--", color=line.get_color())
        axes[1].plot(streams, [len(run.lags) / run.seconds for run in mine], "o-", label=budget)
    axes[0].set(title="lag p95 (dashed: p50), ms", xscale="log", yscale="log")
    axes[1].set(title="windows per second, all streams", xscale="log", ylim=(0, None))
    axes[1].legend(title="budget")
    for axis, budget in zip(axes[2:], budgets, strict=True):
        mine = [run for run in runs if run.budget == budget]
        names = [str(run.streams) for run in mine]
        bottom = [0.0] * len(mine)
        for (level, name), colour in zip(_LEVELS.items(), _COLOURS, strict=True):
            shares = [100 * run.levels[level] / max(1, len(run.lags)) for run in mine]
            axis.bar(names, shares, bottom=bottom, color=colour, label=name)
            bottom = [low + share for low, share in zip(bottom, shares, strict=True)]
        axis.set(title=f"windows by level, budget {budget}, %", xlabel="streams")
    axes[2].legend(fontsize="small", loc="lower left")
    for axis in axes[:2]:
        axis.set(xlabel="streams")
        axis.set_xticks(sorted({run.streams for run in runs}), [str(n) for n in sorted({run.streams for run in runs})])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)
