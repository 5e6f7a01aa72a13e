"""The README's table of families and methods, by running every pair: `python -m benchmarks.support [--check]`.

Every family is built with its default arguments and random weights and asked about noise of a reduced size: whether a
method explains a network depends on its structure, not on its weights or the size of its clips.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from actionlens.card import Input, ModelCard, Weights
from handlers.canary import answer_noise
from handlers.checking import check_method
from handlers.engine import Engine
from handlers.errors import ModelError
from handlers.explainers import methods
from handlers.models.action_model import ActionModel
from handlers.models.family import Family
from handlers.models.registry import families

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- support: python -m benchmarks.support -->\n", "<!-- end of support -->\n"

_LABELS = ("a", "b", "c")
_SIZE = 64
_FRAMES = 8


def reduced(entry: Family) -> Engine:
    """The family's network with random weights (seed 0) for clips of a reduced size, or of its own if it is fixed."""
    small = Input(frames=_FRAMES, height=_SIZE, width=_SIZE)
    try:
        engine = _engine(entry, small)
        answer_noise(engine)
    except ModelError:
        engine = _engine(entry, entry.input or small)
    return engine


def _engine(entry: Family, size: Input) -> Engine:
    torch.manual_seed(0)
    card = ModelCard(
        name="reduced",
        architecture=entry.name,
        weights=Weights(file="none.safetensors", sha256="0" * 64),
        labels=_LABELS,
        input=size,
    )
    return Engine(ActionModel(card, entry.build(classes=len(_LABELS)).eval()))


def rows(names: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """For each family the reason why each method cannot explain it; empty where it did."""
    for name in names:
        engine = reduced(families()[name])
        found = {method: check_method(engine, method) for method in methods()}
        yield name, {method: "" if check.supported else check.reason for method, check in found.items()}


def table(found: dict[str, dict[str, str]]) -> str:
    """Markdown: a row per family, a column per method, "no" with the number of its reason below."""
    columns = list(methods())
    reasons: dict[str, int] = {}
    lines = [
        "Which family is explained by what, found out by running every pair:",
        "",
        "| family | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name, row in found.items():
        cells = [f"no ({reasons.setdefault(row[c], len(reasons) + 1)})" if row[c] else "yes" for c in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    return "\n".join([*lines, "", *notes]) + "\n"


def main() -> int:
    """0 when written, or with --check when the README is as it would be written; else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.support", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the README, write nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, dict[str, str]] = {}
    for name, row in rows(list(families())):
        found[name] = row
        print(f"{name}: {sum(not reason for reason in row.values())} of {len(row)}", file=sys.stderr, flush=True)
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    fresh = before + BEGIN + table(found) + END + after
    if options.check:
        return int(fresh != text)
    README.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
