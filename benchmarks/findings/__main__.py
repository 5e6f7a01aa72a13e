"""Obtain the papers' findings again: python -m benchmarks.findings [NAMES...] [--clips N] [--seed S] [--resume]

Each finding writes one JSON file to --out when it is done; with --resume those that are there are not measured again.
`--table` writes docs/findings.md from the files, and measures nothing. Comparison networks are read from --networks
(python -m training.comparison NAME --out DIR/NAME); what needs one that is not there is skipped, and said so.
--clips sets the number of clips of every finding.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.findings import (  # noqa: F401  (they add themselves to the list)
    selected_relevance,
    shapley_elements,
    sufficient_parts,
    temporal_lengths,
    temporal_masks,
)
from benchmarks.findings.finding import FINDINGS, NotHere, Options, ordered
from benchmarks.findings.page import NETWORKS, write_page
from handlers.malloc import keep_freed_memory
from training.comparison import RECIPES

_ROOT = Path(__file__).resolve().parents[2]
RESULTS = _ROOT / "benchmarks" / "results" / "findings"


def keep_accuracies(networks: Path, results: Path) -> None:
    """Write down what the comparison networks that are there can do, beside the findings that they take part in."""
    path = results / NETWORKS
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in RECIPES:
        file = networks / name / "accuracy.json"
        if file.exists():
            found[name] = json.loads(file.read_text(encoding="utf-8"))
    if found:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(f.name for f in ordered())}; or all")
    parser.add_argument("--clips", type=int, help="in place of each finding's own number of clips")
    parser.add_argument("--seed", type=int, default=0, help="another one takes other clips")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--networks", type=Path, default=Path("out/comparison"))
    parser.add_argument("--resume", action="store_true", help="leave out what --out has already")
    parser.add_argument("--table", action="store_true", help="write docs/findings.md from --out")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(FINDINGS)):
        parser.error(f"no such finding: {', '.join(unknown)}")
    if options.table:
        write_page(options.out, _ROOT / "docs" / "findings.md")
        return
    torch.set_num_threads(1)
    keep_freed_memory()
    assets = os.environ.get("ACTIONLENS_TEST_ASSETS")
    how = Options(options.clips, options.seed, options.networks, Path(assets) if assets else None)
    options.out.mkdir(parents=True, exist_ok=True)
    keep_accuracies(how.networks, options.out)
    for entry in ordered():
        path = options.out / f"{entry.name}.json"
        if (options.names and entry.name not in options.names) or (options.resume and path.exists()):
            continue
        started = time.process_time()
        try:
            result = entry.measure(how)
        except NotHere as reason:
            print(f"{entry.name}: not measured: {reason}", flush=True)
            continue
        seconds = round(time.process_time() - started, 1)
        record = {"name": entry.name, "seed": how.seed, "cpu_seconds": seconds, **asdict(result)}
        path.with_suffix(".new").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        path.with_suffix(".new").replace(path)
        print(f"{entry.name}: {result.same}: {result.ours} ({result.n}, {seconds} s)", flush=True)


if __name__ == "__main__":
    main()
