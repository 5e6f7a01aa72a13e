"""What the way to a TorchServe worker and back costs: python -m benchmarks.transport [--model NAME]

GOMP_SPINCOUNT=1000 before it gives the engine in this process what the service gives its workers.

Rounds of the same clip by turns (A B C D A B C D ...), medians over rounds:

* engine: the engine called in a loop in this process, one clip at a time;
* backend: one clip at a time through the backend;
* grpc: one clip at a time as raw frames through the whole service, from a client in a process of its own;
* grpc-several: as many callers over gRPC as two batches hold.

Reported: milliseconds per clip beyond the worker's own time, clips per second beside the engine's in the same round,
and the processor time that a clip takes in each kind of process. The machine should have nothing else to do: every hop
is a change of process, and each waits for a free core; on a busy one the best tenth (p10) is nearer to the truth than
the median.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from actionlens.card import Input, ModelCard, Weights, write_card
from actionlens.v1 import clip_pb2, method_pb2, service_pb2
from actionlens.worker.v1 import worker_pb2
from benchmarks.transport_client import ClientProcess, Round
from handlers.engine.engine import Engine
from handlers.models import family
from handlers.wire.requests import answer
from service.backends.model_choice import chosen_models
from service.backends.protocol import Reply, Work
from service.backends.torchserve import TorchServeBackend
from service.server import Server
from service.settings import Settings

_STAND_IN = "stand-in"
_DEADLINE = 60.0


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="model store; default: the settings' own")
    parser.add_argument("--model", help="model of the store; default: a network with random weights, 16x112x112")
    parser.add_argument("--channels", type=int, nargs="+", default=[16, 32, 64], help="of the random network")
    parser.add_argument("--grad-cam", action="store_true", help="ask for Grad-CAM with every clip")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clips", type=int, default=24, help="per round and way")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.model is None:
            _stand_in(Path(folder) / _STAND_IN, options.channels)
            settings = Settings(model_store=Path(folder), default_model=_STAND_IN, port=0, metrics_port=0, page_port=0)
        else:
            given = {"model_store": options.store} if options.store else {}
            settings = Settings(
                models=(options.model,), default_model=options.model, port=0, metrics_port=0, page_port=0, **given
            )
        asyncio.run(_run(settings, options))


async def _run(settings: Settings, options: argparse.Namespace) -> None:
    ((name, folder),) = chosen_models(settings).items()
    engine = Engine.load(folder, len(os.sched_getaffinity(0)))
    work = _work(engine, options.grad_cam)
    backend = Recording(settings)
    async with Server(settings, backend) as server:
        count, height, width, _ = work.pixels.shape
        clip = clip_pb2.Clip(
            raw=clip_pb2.RawFrames(data=work.pixels.tobytes(), count=count, height=height, width=width)
        )
        question = service_pb2.ExplainClipRequest(model=name, clip=clip, methods=work.request.compute.methods)
        client = ClientProcess(server.port, question)

        async def by_engine() -> Round:
            async def ask() -> None:
                answer(engine, [work.request], [work.pixels])  # in this thread, which has torch's threads

            return await _loop(options.clips, ask)

        async def by_backend() -> Round:
            return await _loop(options.clips, lambda: backend.compute(name, work, _DEADLINE))

        async def by_grpc() -> Round:
            return await asyncio.to_thread(client.round, options.clips, 1)

        async def by_several() -> Round:
            return await asyncio.to_thread(client.round, options.clips, 2 * settings.batch_size)

        ways = [
            Way("engine", by_engine, alone=False),
            Way("backend", by_backend),
            Way("grpc", by_grpc),
            Way("grpc-several", by_several, alone=False),
        ]
        for number in range(options.rounds + 1):
            for way in ways:
                await way.round(backend.worker_seconds, client.pid, keep=number > 0)  # the first warms up
        client.close()
    _report(work.pixels, ways)


async def _loop(clips: int, call: Callable[[], Awaitable[object]]) -> Round:
    seconds = []
    begun = time.perf_counter()
    for _ in range(clips):
        sent = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - sent)
    return Round(seconds, time.perf_counter() - begun)


class Recording(TorchServeBackend):
    """The backend, noting how long the workers themselves took."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.worker_seconds: list[float] = []

    async def compute(self, model: str, work: Work, deadline: float) -> Reply:
        """See TorchServeBackend."""
        reply = await super().compute(model, work, deadline)
        self.worker_seconds.append(reply.response.timings.total)
        return reply


_PROCESSES = ("client", "service", "java", "worker")


def _processor_seconds(client: int) -> dict[str, float]:
    """Processor time so far of each kind of process."""
    seconds = dict.fromkeys(_PROCESSES, 0.0)
    service = psutil.Process()
    for process in (service, *service.children(recursive=True)):
        times = process.cpu_times()
        line = " ".join(process.cmdline())
        if process.pid == client:
            kind = "client"
        elif "model_service_worker" in line:
            kind = "worker"
        else:
            kind = "java" if "org.pytorch.serve" in line else "service"
        seconds[kind] += times.user + times.system
    return seconds


@dataclass
class Way:
    """One way to have clips answered, and what was measured on it. alone: one clip at a time, through a worker."""

    name: str
    ask: Callable[[], Awaitable[Round]]
    alone: bool = True
    rates: list[float] = field(default_factory=list)
    worker: list[float] = field(default_factory=list)
    beyond: list[float] = field(default_factory=list)
    processor: list[dict[str, float]] = field(default_factory=list)

    async def round(self, worker_seconds: list[float], client: int, *, keep: bool) -> None:
        """Have clips answered; with one caller, note the time beyond the worker's own."""
        worker_seconds.clear()
        before = _processor_seconds(client)
        done = await self.ask()
        if not keep:
            return
        clips = len(done.seconds)
        after = _processor_seconds(client)
        self.processor.append({kind: (after[kind] - before[kind]) / clips for kind in _PROCESSES})
        self.rates.append(clips / done.elapsed)
        if self.alone:
            self.worker += worker_seconds
            self.beyond += [took - worked for took, worked in zip(done.seconds, worker_seconds, strict=True)]


def _report(pixels: NDArray[np.uint8], ways: list[Way]) -> None:
    print(f"clip {' x '.join(map(str, pixels.shape[:3]))}, {pixels.nbytes / 1000:.0f} kB")
    print(f"{'':<50}{'processor ms per clip':>44}")
    print(f"{'way':<14}{'clips/s':>8}{'of engine':>10}{'worker ms':>10}{'beyond ms':>10}{'p10':>6}{'p90':>6}", end="")
    print("".join(f"{kind:>9}" for kind in _PROCESSES))
    for way in ways:
        share = statistics.median(mine / base for mine, base in zip(way.rates, ways[0].rates, strict=True))
        line = f"{way.name:<14}{statistics.median(way.rates):>8.1f}{share:>10.0%}"
        if way.alone:
            tenths = statistics.quantiles(way.beyond, n=10)
            numbers = (statistics.median(way.worker), statistics.median(way.beyond), tenths[0], tenths[-1])
            line += "".join(f"{1000 * value:>{width}.1f}" for value, width in zip(numbers, (10, 10, 6, 6), strict=True))
        processor = (statistics.median(entry[kind] for entry in way.processor) for kind in _PROCESSES)
        print(f"{line:<64}" + "".join(f"{1000 * value:>9.1f}" for value in processor))


def _work(engine: Engine, grad_cam: bool) -> Work:
    shape = engine.model.card.input
    pixels = np.random.default_rng(0).integers(0, 256, (shape.frames, shape.height, shape.width, 3), dtype=np.uint8)
    methods = [method_pb2.Method(grad_cam=method_pb2.GradCam())] if grad_cam else []
    return Work(worker_pb2.ComputeRequest(compute=worker_pb2.Compute(methods=methods)), pixels)


def _stand_in(folder: Path, channels: list[int]) -> None:
    folder.mkdir()
    torch.manual_seed(0)
    arguments = {"channels": channels, "hidden": []}
    network = family("conv3d").build(classes=10, **arguments)
    save_file(network.state_dict(), folder / "weights.safetensors")
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    card = ModelCard(
        name=_STAND_IN,
        architecture="conv3d",
        arguments=arguments,
        weights=Weights(file="weights.safetensors", sha256=digest),
        labels=tuple(f"class {number}" for number in range(10)),
        input=Input(frames=16, height=112, width=112),
    )
    write_card(card, folder)


if __name__ == "__main__":
    main()
