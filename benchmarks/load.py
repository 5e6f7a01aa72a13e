"""Budgets under load: python -m benchmarks.load CLIP... [--streams 1 2 4 8 16] [--seconds 15] [--out DIR]

So many streams send real clips over and over at their own speed, drop what is late (drop-oldest, newest window) and ask
for Grad-CAM, selective relevance and ATR; a third of the runs without a budget, a third with answers within
--latency-ms, a third with explaining at no more than --overhead percent of predicting. The service is started for it,
with the bundled model on TorchServe; its clients share the machine with it.

Written: load.md and load.png. lag: from the arrival of a window's newest frame to its answer. overhead: time of
explaining over the time of predicting, of all answers together. Every answer's frame counts are checked.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import simplejpeg

from actionlens.v1 import answer_pb2, service_pb2
from benchmarks.jobs import service
from benchmarks.load_table import Run, plot, table
from service.client import AsyncClient, Frame
from service.client.frame_sources import open_source
from service.client.stream_messages import StreamOptions
from service.errors import ResourceExhausted

_KINDS = ("none", "latency", "overhead")
_METHODS = ("grad-cam", "selective-relevance", "atr")
# Costs are measured and latency budgets find their levels before anything counts.
_WARM_SECONDS = 6.0


@dataclass(frozen=True)
class Clip:
    """JPEG frames and their rate."""

    images: Sequence[bytes]
    fps: float


def main() -> None:
    """Parse the command line, run all and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=15.0, help="of each of the runs, after a warm-up")
    parser.add_argument("--latency-ms", type=float, default=250.0)
    parser.add_argument("--overhead", type=float, default=30.0)
    parser.add_argument("--budgets", nargs="+", default=list(_KINDS), choices=_KINDS)
    parser.add_argument("--out", type=Path, help="folder of load.md and load.png; none: only printed")
    options = parser.parse_args()
    clips = [read(path) for path in options.clips]
    kinds: dict[str, tuple[str, StreamOptions]] = {
        "none": ("none", {}),
        "latency": (f"{options.latency_ms:g} ms", {"latency_budget": options.latency_ms / 1000}),
        "overhead": (f"{options.overhead:g} %", {"overhead_budget": options.overhead / 100}),
    }
    budgets = dict(kinds[kind] for kind in options.budgets)
    runs = []
    busy = psutil.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as (address, process):
        for (name, budget), streams in itertools.product(budgets.items(), options.streams):
            run = Run(name, streams, options.seconds)
            asyncio.run(measure(run, clips, budget, address, process))
            runs.append(run)
            print(table(runs).splitlines()[-1], flush=True)
    print(table(runs))
    if options.out is not None:
        machine = f"{psutil.cpu_count()} cores, other work when it began: load average {busy:.1f}"
        text = f"`python -m benchmarks.load`: {machine}.\n\n{table(runs)}\n\n![levels and lags](load.png)\n"
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "load.md").write_text(text, encoding="utf-8")
        plot(runs, options.out / "load.png")


def read(path: Path) -> Clip:
    """The frames of a clip as JPEG or as the images of its folder: encoding takes nothing while clients run."""
    source = open_source(str(path))
    frames = list(source.frames)
    source.close()
    images = [
        frame.picture
        if isinstance(frame.picture, bytes)
        else simplejpeg.encode_jpeg(frame.picture, quality=90, colorspace="RGB")
        for frame in frames
    ]
    return Clip(images, (len(frames) - 1) / (frames[-1].timestamp - frames[0].timestamp))


async def measure(
    run: Run, clips: Sequence[Clip], budget: StreamOptions, address: str, process: psutil.Process
) -> None:
    """One run: all streams side by side."""
    begin = time.monotonic() + _WARM_SECONDS
    async with AsyncClient(address) as client:
        tasks = [
            asyncio.create_task(stream(client, run, clips[number % len(clips)], number, begin, budget))
            for number in range(run.streams)
        ]
        await asyncio.sleep(_WARM_SECONDS + run.seconds / 2)
        rest = process.children(recursive=True)
        own = process.memory_info().rss / 2**20
        run.memory = (own, own + sum(child.memory_info().rss for child in rest) / 2**20)
        await asyncio.gather(*tasks)


async def stream(client: AsyncClient, run: Run, clip: Clip, number: int, begin: float, budget: StreamOptions) -> None:
    """One stream until the end of the run."""
    end = begin + run.seconds
    before = service_pb2.WindowAnswer()
    last = before

    async def frames() -> AsyncIterator[Frame]:
        first = time.monotonic() + number / run.streams / clip.fps
        for sequence, image in enumerate(itertools.cycle(clip.images)):
            due = first + sequence / clip.fps
            if due > end:
                return
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            yield Frame(image, sequence, sequence / clip.fps)

    options: StreamOptions = {"methods": _METHODS, "fill": "drop-oldest", "consume": "newest", **budget}
    try:
        async with client.explain_stream(frames(), **options) as answers:
            async for window in answers:
                if time.monotonic() < begin:
                    before = last = window.window_message
                elif time.monotonic() < end:
                    last = window.window_message
                    note(run, last)
    except ResourceExhausted:
        run.refused += 1
    for name in ("received", "used", "dropped_stale", "dropped_full", "rejected"):
        run.frames[name] += getattr(last.counts, name) - getattr(before.counts, name)
    run.skipped += last.skipped_windows - before.skipped_windows


def note(run: Run, window: service_pb2.WindowAnswer) -> None:
    """Add one answer to the run."""
    counts, times = window.counts, window.answer.timings
    gone = counts.used + counts.dropped_stale + counts.dropped_full + counts.rejected + counts.waiting
    run.uncounted += counts.received != gone
    run.lags.append(window.lag)
    asked_for_all = len(window.answer.explanations) == len(_METHODS)
    run.levels[answer_pb2.EXPLANATION_LEVEL_TEMPORAL_RELEVANCE if asked_for_all else window.answer.level] += 1
    run.explain += sum(times.explain)
    run.predict += times.forward / max(1, times.batch_size)


if __name__ == "__main__":
    main()
