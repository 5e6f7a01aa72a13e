"""Runs every method on every family's small network and writes what came of it, docs/support.md, in some minutes:
python -m benchmarks.support
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from handlers.explainers import IterativeExplainer, methods
from handlers.support import Support, cases, declared, tried

TABLE = Path(__file__).resolve().parents[1] / "docs" / "support.md"
_HEADING = """# What explains what

Made by `python -m benchmarks.support`, which builds a small network of every family, asks every method whether it can
explain it, and then runs it: a live method on one clip, a job (`job`) for its first block. A number is the reason why
not, below the table. An .onnx file of which every operator converts to torch is explained as the network that it holds.
For a model of your own, `actionlens models check` runs the same methods on the model itself.
"""


def written(rows: Mapping[str, Support]) -> str:
    """The page: a row per family, a column per method, and the reasons."""
    reasons: dict[str, int] = {}
    lines = [
        "| family | " + " | ".join(methods()) + " |",
        "|---|" + "---|" * len(methods()),
        "| | "
        + " | ".join("job" if isinstance(method, IterativeExplainer) else "live" for method in methods().values())
        + " |",
    ]
    for name, row in rows.items():
        cells = [f"no [{reasons.setdefault(why, len(reasons) + 1)}]" if why else "yes" for why in row.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    return "\n".join([_HEADING, *lines, "", *notes]) + "\n"


def main() -> None:
    """Try every pair. Raises RuntimeError, and writes nothing, when a method does not do what it has said."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    rows: dict[str, Support] = {}
    for name, make in cases().items():
        model = make()
        rows[name] = tried(model)
        if (said := declared(model)) != rows[name]:
            wrong = {method: (said[method], why) for method, why in rows[name].items() if said[method] != why}
            raise RuntimeError(f"{name}: declared and found differ: {wrong}")
        print(name, *(method for method, reason in rows[name].items() if not reason), flush=True)
    TABLE.write_text(written(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
