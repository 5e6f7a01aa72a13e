"""Cost of each family's live methods, in units of its own plain forward F: results/families.md.

    PYTHONPATH=. python -m benchmarks.families [--families c3d,slow-r50] [--size 112] [--rounds 2] [--threads 1]

Random weights, the family's published number of frames, frames of `size` x `size` (FIXED and transformers: their own).
Each candidate takes turns with the others (A B C A B C ...); ratios are of medians, the first round warms up. Families
are measured one by one in processes of their own, which gives the peak memory, and stored as they finish: name some for
these only.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from handlers.explainers.live.grad_cam import grad_cam
from handlers.models import families, family
from handlers.models.blocks.tokens import token_network
from handlers.relevance import Rules, guided_backprop, relevance, temporal_relevance, trace

RESULTS = Path(__file__).parent / "results"
STORED = RESULTS / "families.json"
FIXED = (
    "c3d",
    "c-lstm",
    "cnn-lstm",
    "vgg16-lstm",
    "mtrn-bninception",
    "mtrn-inceptionv3",
    "play-fair-mtrn",
    "trn-bninception",
    "trn-inceptionv3",
    "tsn-bninception",
    "tsn-inceptionv3",
)
"""Families whose weights or poolings fix the size of the frame, beside those of transformers."""
COLUMNS = ("forward", "grad-cam", "guided-backprop", "dtd", "atr")


def measured(name: str, size: int, rounds: int) -> dict[str, object]:
    """F in seconds, multiples of it, reasons, and the peak memory in MB of this process."""
    entry = family(name)
    assert entry.input is not None
    torch.manual_seed(0)
    network = entry.build(classes=400).eval()
    side = entry.input.height if name in FIXED or entry.model_type else size
    clip = torch.rand(1, 3, entry.input.frames, side, side) * 4 - 2
    program = trace(network, Rules(low=(-2.0,) * 3, high=(2.0,) * 3))
    one = torch.zeros(1, 400)
    one[0, 0] = 1.0

    tokens = token_network(network)
    placed = tokens.on_grid if tokens else torch.nn.Identity()

    def cam() -> object:
        forward = program.forward(clip, keep=[entry.layer], relevance=False)
        return grad_cam(placed(forward.activation(entry.layer)), placed(forward.gradient(entry.layer, one)))

    runs: dict[str, Callable[[], object]] = {
        "F": lambda: torch.no_grad()(network)(clip),
        "forward": lambda: program.forward(clip, relevance=False),
        "grad-cam": cam,
        "guided-backprop": lambda: guided_backprop(program.forward(clip), 0),
        "dtd": lambda: relevance(program.forward(clip), 0),
        "atr": lambda: temporal_relevance(program.forward(clip), 0),
    }
    refused = {"atr": program.head().reason} if program.head().reason else {}
    if program.no_relevance:
        refused = dict.fromkeys(("guided-backprop", "dtd", "atr"), program.no_relevance)
    spent: dict[str, list[float]] = {key: [] for key in runs if key not in refused}
    for number in range(rounds + 1):
        for key in spent:
            started = time.process_time()
            runs[key]()
            if number:
                spent[key].append(time.process_time() - started)
    base = median(spent.pop("F"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    clip_size = f"{entry.input.frames} x {side} x {side}"
    multiples = {key: median(values) / base for key, values in spent.items()}
    return {"clip": clip_size, "F": base, "peak": peak, "multiples": multiples, "refused": refused}


def written(rows: dict[str, dict[str, object]], threads: int) -> str:
    """The table."""
    lines = [
        "# Live methods per family",
        "",
        f"Made by `python -m benchmarks.families`; float32, {threads} thread(s), processor time. F: one eager forward",
        "of the plain module. All other columns are multiples of F and include the forward that they need. Peak",
        "memory is of the whole process over all methods. Random weights. One measured round of most of them, some",
        "beside other work: a tenth more or less says nothing.",
        "",
        "| family | clip | F, s | " + " | ".join(COLUMNS) + " | peak, MB |",
        "|---|---|---|" + "---|" * (len(COLUMNS) + 1),
    ]
    for name, row in sorted(rows.items()):
        multiples, refused = row["multiples"], row["refused"]
        assert isinstance(multiples, dict)
        assert isinstance(refused, dict)
        cells = [f"{multiples[key]:.2f}" if key in multiples else f"no: {refused[key]}" for key in COLUMNS]
        lines.append(f"| {name} | {row['clip']} | {row['F']:.2f} | " + " | ".join(cells) + f" | {row['peak']:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure the named families, store each as it finishes, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    published = [name for name, entry in families().items() if entry.input is not None]
    parser.add_argument("--families", default=",".join(published))
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", action="store_true", help="measure one family in this process, as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        print(json.dumps(measured(options.families, options.size, options.rounds)))
        return
    rows = json.loads(STORED.read_text()) if STORED.exists() else {}
    for name in filter(None, options.families.split(",")):
        same = ["--size", str(options.size), "--rounds", str(options.rounds), "--threads", str(options.threads)]
        command = [sys.executable, "-m", "benchmarks.families", "--one", "--families", name, *same]
        rows[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        STORED.write_text(json.dumps(rows, indent=1) + "\n")
        (RESULTS / "families.md").write_text(written(rows, options.threads))
        print(name, rows[name], flush=True)


if __name__ == "__main__":
    main()
