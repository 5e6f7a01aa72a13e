"""Cost of Element Shapley Values: python -m benchmarks.shapley [--threads 2] [--rounds 15]

A multi-scale relational model as in Play Fair: 256 features a frame, 256 hidden units, 174 classes, 8 scales. All
candidates take turns in one process (A B C A B C ...); medians of wall time and of the process's CPU time, which other
work on the machine disturbs least. The tables that depend on the number of frames alone are built, and timed, before.
"joined features" is the same recursion with the first layer run on every subsequence's concatenated features instead
of looked up. Peak memory is the growth of the process's largest resident set over the rounds.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from statistics import median

import torch
from torch import Tensor

from handlers.explainers.shapley import levels, relational_values, sample, shapley
from handlers.malloc import keep_freed_memory
from handlers.models.blocks.consensus import RelationalConsensus

FEATURES, HIDDEN, CLASSES, SCALES = 256, 256, 174, 8


def joined(consensus: RelationalConsensus, features: Tensor) -> Iterator[Tensor]:
    """`relational_levels` without the table of the first layer."""
    below = torch.zeros(1, CLASSES)
    relations = consensus.used(len(features))
    for size, level in enumerate(levels(len(features)), start=1):
        mean = level.parents.of(below) / size
        if size <= len(relations):
            below = torch.lerp(mean, relations[size - 1](features[level.members].flatten(1)), 1 / size)
        else:
            below = mean
        yield below.softmax(1)


def candidates() -> dict[str, Callable[[], object]]:
    """The timed functions, by name."""
    torch.manual_seed(0)
    consensus = RelationalConsensus(FEATURES, HIDDEN, CLASSES, SCALES)
    prior = torch.full((CLASSES,), 1 / CLASSES)
    clips = {count: torch.randn(count, FEATURES) for count in (8, 16, 48)}
    return {
        "exact, 8 frames": lambda: relational_values(consensus, clips[8], prior),
        "exact, 16 frames": lambda: relational_values(consensus, clips[16], prior),
        "exact, 16 frames, joined features": lambda: shapley(joined(consensus, clips[16]), prior, 16),
        "sampled, 16 frames, one iteration of 1024": lambda: sample(consensus, clips[16], 1024, 0),
        "sampled, 48 frames, one iteration of 1024": lambda: sample(consensus, clips[48], 1024, 0),
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", action="append", choices=list(candidates()), help="one candidate; may be repeated")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    for count in (8, 16):
        begun = time.perf_counter()
        levels(count)
        print(f"tables for {count} frames, once: {1000 * (time.perf_counter() - begun):.0f} ms")
    chosen = {name: run for name, run in candidates().items() if name in (options.only or [name])}
    wall: dict[str, list[float]] = {name: [] for name in chosen}
    busy: dict[str, list[float]] = {name: [] for name in chosen}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.inference_mode():
        for run in chosen.values():
            run()
        for _ in range(options.rounds):
            for name, run in chosen.items():
                start, used = time.perf_counter(), time.process_time()
                run()
                wall[name].append(time.perf_counter() - start)
                busy[name].append(time.process_time() - used)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{options.threads} threads, {options.rounds} rounds; resident set grew by {grown / 1024:.0f} MB at most")
    for name in chosen:
        print(
            f"{name}: wall {1000 * median(wall[name]):.1f} ms (least {1000 * min(wall[name]):.1f}), "
            f"CPU {1000 * median(busy[name]):.1f} ms"
        )


if __name__ == "__main__":
    main()
