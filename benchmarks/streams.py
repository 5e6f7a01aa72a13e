"""Live streams side by side on a running service: python -m benchmarks.streams CLIP [--streams 8] [--seconds 120]

Every stream sends the clip's frames over and over at its own speed, drops what is late (drop-oldest, newest window) and
asks for all live explanations. Reported: windows per second, lag, frames by what became of them, and the memory of the
service's own process (not of its TorchServe workers) over time, after a warm-up. Every answer's frame counts are
checked: received = used + dropped + rejected + waiting.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from actionlens.v1 import service_pb2
from service.client import AsyncClient, Frame
from service.client.frame_sources import open_source


@dataclass
class Totals:
    """Counts over all streams."""

    windows: int = 0
    lags: list[float] = field(default_factory=list)
    uncounted: int = 0
    last: dict[int, service_pb2.FrameCounts] = field(default_factory=dict)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--address", default="127.0.0.1:8470")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--method", action="append", help="default: grad-cam and selective-relevance")
    parser.add_argument("--pid", type=int, required=True, help="process of `actionlens serve`, to watch its memory")
    options = parser.parse_args()
    options.method = options.method or ["grad-cam", "selective-relevance"]
    asyncio.run(run(options))


async def run(options: argparse.Namespace) -> None:
    """All streams and the watch on memory."""
    source = open_source(str(options.clip))
    frames = list(source.frames)
    source.close()
    images = [frame.picture for frame in frames]
    fps = (len(frames) - 1) / (frames[-1].timestamp - frames[0].timestamp)
    totals, memory = Totals(), []
    end = time.monotonic() + options.seconds
    async with AsyncClient(options.address) as client:
        streams = [
            asyncio.create_task(stream(client, number, images, fps, end, totals, options))
            for number in range(options.streams)
        ]
        process = psutil.Process(options.pid)
        while not all(task.done() for task in streams):
            memory.append((options.seconds - (end - time.monotonic()), process.memory_info().rss / 2**20))
            await asyncio.sleep(1.0)
        await asyncio.gather(*streams)
    report(options, totals, memory)


async def stream(client, number, images, fps, end, totals, options) -> None:  # type: ignore[no-untyped-def]
    """One stream until the end."""

    async def frames() -> AsyncIterator[Frame]:
        begun = time.monotonic()
        for sequence, image in enumerate(itertools.cycle(images)):
            due = begun + sequence / fps
            if due > end:
                return
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            yield Frame(image, sequence, sequence / fps)

    async with client.explain_stream(frames(), methods=options.method, fill="drop-oldest", consume="newest") as answers:
        async for window in answers:
            counts = window.counts
            totals.windows += 1
            totals.lags.append(window.lag)
            gone = counts.used + counts.dropped_stale + counts.dropped_full + counts.rejected + counts.waiting
            totals.uncounted += counts.received != gone
        totals.last[number] = answers.summary.counts


def report(options: argparse.Namespace, totals: Totals, memory: list[tuple[float, float]]) -> None:
    """Print what was measured."""
    lags = sorted(totals.lags)
    print(f"{options.streams} streams, {options.seconds:.0f} s, methods {', '.join(options.method)}")
    print(f"windows answered     {totals.windows} ({totals.windows / options.seconds:.1f} per second)")
    print(f"lag p50 / p95        {1000 * statistics.median(lags):.0f} / {1000 * lags[int(0.95 * len(lags))]:.0f} ms")
    for name in ("received", "used", "dropped_stale", "dropped_full", "rejected", "waiting", "missing"):
        print(f"frames {name:<14}{sum(getattr(counts, name) for counts in totals.last.values())}")
    print(f"answers whose counts do not add up: {totals.uncounted}")
    warm = [(at, size) for at, size in memory if at > min(30.0, options.seconds / 4)]
    third = max(1, len(warm) // 3)
    first, last = (statistics.median(size for _, size in part) for part in (warm[:third], warm[-third:]))
    peak = max(size for _, size in memory)
    print(f"service memory after warm-up: first third {first:.0f} MiB, last third {last:.0f} MiB, peak {peak:.0f} MiB")


if __name__ == "__main__":
    main()
