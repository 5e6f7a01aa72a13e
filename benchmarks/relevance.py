"""Cost of explanations, in units of one plain forward F of the same network: the table and plot in results/.

    PYTHONPATH=. python -m benchmarks.relevance [--networks "small 16f,I3D 8f"] [--rounds 2] [--threads 1]

All candidates take turns in one process (A B C A B C ...); ratios are of medians, and the first round warms up.
Captum and zennit are called as their users would call them: Captum after a prediction that names the class, zennit with
the prediction that its own forward makes. They and `element` take part in one measured round. With one thread the clock
is the process's CPU time, which other work on the machine disturbs least; with more it is wall time. About 10 minutes
on two quiet cores.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import relevance_table as table
from benchmarks.networks import NETWORKS, network
from benchmarks.peers import captum_cam, captum_pass, zennit_pass
from handlers.malloc import keep_freed_memory
from handlers.relevance import Rules, relevance, temporal_relevance, trace

RULES = Rules(low=(-2.0,) * 3, high=(2.0,) * 3)
ONCE = (table.CAM_CAPTUM, table.DTD_ZENNIT, table.DTD_CAPTUM, table.NAIVE, table.ELEMENT)
"""Columns of one measured round."""
WHOLE_LOOPS = ("small 16f",)
"""Networks on which the naive loop is run; on the others it would take many minutes and is estimated."""
ELEMENT_ON = ("small 16f", "I3D 8f", "I3D 16f", "TAM 16f")


def candidates(name: str, net: nn.Module, clip: Tensor) -> dict[str, Callable[[], object]]:
    """Everything that is timed on one network, by column."""
    program = trace(net, RULES)
    framed = not program.head().reason
    layer = [n for n in program.layers if "." not in n][-2 if framed else -9]
    cam = captum_cam(net, layer)
    one = torch.zeros((1, program.forward(clip).logits.shape[1]))
    one[:, 0] = 1.0

    def grad_cam(forward: Any) -> Tensor:
        weights = forward.gradient(layer, one).mean((3, 4), keepdim=True)
        return torch.relu((weights * forward.activation(layer)).sum(1))

    def live() -> object:
        forward = program.forward(clip, keep=[layer])
        return grad_cam(forward), temporal_relevance(forward, 0), relevance(forward, 0)

    found: dict[str, Callable[[], object]] = {
        table.FORWARD: lambda: program.forward(clip, relevance=False),
        table.CAM_CAPTUM: lambda: cam(clip),
        table.CAM: lambda: grad_cam(program.forward(clip, keep=[layer], relevance=False)),
        table.DTD_ZENNIT: lambda: zennit_pass(net)(clip),
        table.DTD_CAPTUM: lambda: (torch.no_grad()(net)(clip), captum_pass(net)(clip)),
        table.DTD: lambda: relevance(program.forward(clip), 0),
    }
    if framed:
        found[table.ATR] = lambda: temporal_relevance(program.forward(clip), 0)
        found[table.LIVE] = live
    if name in ELEMENT_ON:
        found[table.ELEMENT] = lambda: temporal_relevance(program.forward(clip), 0, "negated", "element")
    if name in WHOLE_LOOPS:
        found[table.NAIVE] = lambda: [zennit_pass(net)(clip) for _ in range(2 * clip.shape[2])]
    return found


def measured(name: str, rounds: int, threads: int) -> table.Row:
    """F and every column's multiple of it, or why there is none."""
    clock = time.process_time if threads == 1 else time.perf_counter
    net, clip = network(name)
    runs: dict[str, Callable[[], object]] = {"F": lambda: torch.no_grad()(net)(clip), **candidates(name, net, clip)}
    times: dict[str, list[float]] = {column: [] for column in runs}
    failed: dict[str, float | str] = {}
    for number in range(rounds + 1):
        for column, run in runs.items():
            if column in failed or (column in ONCE and number > 1) or (column == table.NAIVE and number == 0):
                continue
            started = clock()
            try:
                run()
            except Exception as error:
                failed[column] = f"fails: {type(error).__name__}"
            else:
                if number:
                    times[column].append(clock() - started)
    base = median(times.pop("F"))
    found = failed | {column: median(spent) / base for column, spent in times.items() if spent}
    if isinstance(one := found.get(table.DTD_ZENNIT), float) and table.ATR in found and table.NAIVE not in found:
        found[table.NAIVE_ESTIMATED] = 2 * clip.shape[2] * one
    return table.Row(base, rounds, found)


def main() -> None:
    """Measure, write results/relevance.md and results/relevance.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--note", default="", help="a sentence for the table: what else ran on the machine, for example"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    how = table.How(options.threads, keep_freed_memory(), options.note)
    rows = table.stored()
    for name in filter(None, options.networks.split(",")):  # none named: only write again what is stored
        started = time.perf_counter()
        rows[name] = measured(name, options.rounds, options.threads)
        short = {k: v if isinstance(v, str) else round(v, 2) for k, v in rows[name].multiples.items()}
        print(f"{name}: {time.perf_counter() - started:.0f} s", short, flush=True)
        table.write(rows, how)
    table.write(rows, how)


if __name__ == "__main__":
    main()
