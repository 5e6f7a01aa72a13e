"""The relevance benchmark's results: kept as JSON, written as a table and a plot."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from benchmarks.networks import NETWORKS
from handlers.relevance.precision import computes_bfloat16

RESULTS = Path(__file__).parent / "results"
FORWARD = "engine forward"
CAM_CAPTUM = "Grad-CAM: Captum"
CAM = "Grad-CAM: here"
DTD_ZENNIT = "DTD: zennit"
DTD_CAPTUM = "DTD: Captum"
DTD = "DTD: here"
NAIVE = "ATR naive: 2N zennit passes"
NAIVE_ESTIMATED = "ATR naive: one zennit pass x 2N (estimate)"
ATR = "ATR: here"
ELEMENT = "CLRP ATR element: here"
LIVE = "everything live"
COLUMNS = (FORWARD, CAM_CAPTUM, CAM, DTD_ZENNIT, DTD_CAPTUM, DTD, NAIVE, NAIVE_ESTIMATED, ATR, ELEMENT, LIVE)


@dataclass(frozen=True)
class Row:
    """One network: F in seconds, rounds, and per column the multiple of F or why there is none."""

    seconds: float
    rounds: int
    multiples: dict[str, float | str]


@dataclass(frozen=True)
class How:
    """The notes on the measurement under the table."""

    threads: int
    keeps_memory: bool
    note: str


def machine() -> str:
    """The processor, as far as it shapes the numbers: results of another one are not mixed with this one's."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def stored() -> dict[str, Row]:
    """Results of earlier runs on this machine; a run replaces the networks that it names."""
    path = RESULTS / "relevance.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if found.get("machine") != machine():
        return {}
    return {name: Row(**found["networks"][name]) for name in NETWORKS if name in found["networks"]}


def write(rows: dict[str, Row], how: How) -> None:
    """JSON, table and plot."""
    rows = {name: rows[name] for name in NETWORKS if name in rows}
    RESULTS.mkdir(exist_ok=True)
    document = {"machine": machine(), "networks": {name: asdict(row) for name, row in rows.items()}}
    (RESULTS / "relevance.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "relevance.md").write_text("\n".join([*_introduction(how), *_table(rows)]) + "\n", encoding="utf-8")
    _plot(rows)


def _introduction(how: How) -> list[str]:
    clock = "CPU time, one thread" if how.threads == 1 else f"wall time, {how.threads} threads"
    memory = "freed memory kept (`keep_freed_memory`)" if how.keeps_memory else "default memory settings"
    units = "has" if computes_bfloat16(torch.device("cpu")) else "has no"
    return [
        "# Cost of explanations",
        "",
        "Multiples of one plain eager float32 forward F of the same network, prediction included; 112 px, random "
        f"weights; {machine()}; {clock}; medians of interleaved rounds; torch {torch.__version__}; {memory}.",
        "Captum, zennit and `element` are timed in one round. Captum's LRP runs with rules set by hand and is not "
        "right on residual networks; it is timed, not endorsed.",
        '"everything live" is Grad-CAM, DTD and exact ATR (frame sums) from one forward, without the selective filter.',
        f"Relevance is float32; this processor {units} arithmetic units for bfloat16.",
        *([how.note] if how.note else []),
        "",
    ]


def _table(rows: dict[str, Row]) -> list[str]:
    lines = [
        "| | " + " | ".join(rows) + " |",
        "|---" * (len(rows) + 1) + "|",
        "| F, ms | " + " | ".join(f"{row.seconds * 1e3:.0f}" for row in rows.values()) + " |",
        "| rounds | " + " | ".join(str(row.rounds) for row in rows.values()) + " |",
    ]
    for column in COLUMNS:
        cells = [row.multiples.get(column, "") for row in rows.values()]
        lines.append(f"| {column} | " + " | ".join(c if isinstance(c, str) else f"{c:.2f}" for c in cells) + " |")
    return lines


def _plot(rows: dict[str, Row]) -> None:
    figure, axes = plt.subplots(figsize=(7, 5.4))
    for column in (NAIVE_ESTIMATED, DTD_ZENNIT, DTD, ATR, LIVE, ELEMENT):
        points = [
            (NETWORKS[name][1], value)
            for name, row in rows.items()
            if name.startswith("I3D") and isinstance(value := row.multiples.get(column), float)
        ]
        if points:
            axes.plot(*zip(*sorted(points), strict=True), marker="o", label=column)
    axes.set(
        xlabel="frames (I3D-R50, 112 px)",
        ylabel="cost / one plain forward",
        yscale="log",
        xticks=[8, 16, 32],
        xlim=(6, 34),
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncol=2)
    figure.tight_layout()
    figure.savefig(RESULTS / "relevance.png", dpi=120)
    plt.close(figure)
