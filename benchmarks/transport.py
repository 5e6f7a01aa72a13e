"""What the way to a TorchServe worker and back costs: python -m benchmarks.transport [--model NAME]

Rounds of the same clip by turns (A B C D A B C D ...), medians over rounds:

* engine: the engine called in a loop in this process, one clip at a time;
* backend: one clip at a time through the backend;
* grpc: one clip at a time as raw frames through the whole service (client and server share this process);
* grpc-several: as many callers over gRPC as two batches hold.

Reported: milliseconds per clip beyond the worker's own time, and clips per second beside the engine's in the same
round. The machine should have nothing else to do: every hop is a change of process, and each waits for a free core;
on a busy one the best tenth (p10) is nearer to the truth than the median.
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

import grpc
import numpy as np
import torch
from safetensors.torch import save_file

from actionlens.card import Input, ModelCard, Weights, write_card
from actionlens.v1 import clip_pb2, method_pb2, service_pb2, service_pb2_grpc
from actionlens.worker.v1 import worker_pb2
from handlers.engine import Engine
from handlers.envelope import answer
from handlers.models import family
from service.backends.base import Reply
from service.backends.choice import chosen_models
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
            settings = Settings(model_store=Path(folder), default_model=_STAND_IN, port=0, metrics_port=0)
        else:
            given = {"model_store": options.store} if options.store else {}
            settings = Settings(models=(options.model,), default_model=options.model, port=0, metrics_port=0, **given)
        asyncio.run(_run(settings, options))


async def _run(settings: Settings, options: argparse.Namespace) -> None:
    ((name, folder),) = chosen_models(settings).items()
    engine = Engine.load(folder, len(os.sched_getaffinity(0)))
    compute = _request(engine, options.grad_cam)
    backend = Recording(settings)
    async with Server(settings, backend) as server:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", [("grpc.max_receive_message_length", -1)])
        stub = service_pb2_grpc.ExplanationServiceStub(channel)
        clip = clip_pb2.Clip(
            raw=clip_pb2.RawFrames(data=compute.clip, count=compute.frames, height=compute.height, width=compute.width)
        )
        question = service_pb2.ExplainClipRequest(model=name, clip=clip, methods=compute.methods)
        envelope = worker_pb2.ComputeRequest(compute=compute)

        async def by_engine() -> None:
            answer(engine, [envelope])

        async def by_backend() -> None:
            await backend.compute(name, compute, _DEADLINE)

        async def by_grpc() -> None:
            await stub.ExplainClip(question, timeout=_DEADLINE)

        ways: list[Way] = [
            Way("engine", by_engine, 1),
            Way("backend", by_backend, 1),
            Way("grpc", by_grpc, 1),
            Way("grpc-several", by_grpc, 2 * settings.batch_size),
        ]
        for round_number in range(options.rounds + 1):
            for way in ways:
                await way.round(options.clips, backend.worker_seconds, keep=round_number > 0)  # the first warms up
        await channel.close()
    _report(compute, ways)


class Recording(TorchServeBackend):
    """The backend, noting how long the workers themselves took."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.worker_seconds: list[float] = []

    async def compute(self, model: str, request: worker_pb2.Compute, deadline: float) -> Reply:
        """See TorchServeBackend."""
        reply = await super().compute(model, request, deadline)
        self.worker_seconds.append(reply.response.timings.total)
        return reply


@dataclass
class Way:
    """One way to have clips answered, by `callers` at once, and what was measured on it."""

    name: str
    call: Callable[[], Awaitable[None]]
    callers: int
    rates: list[float] = field(default_factory=list)
    worker: list[float] = field(default_factory=list)
    beyond: list[float] = field(default_factory=list)

    async def round(self, clips: int, worker_seconds: list[float], *, keep: bool) -> None:
        """Answer so many clips; with one caller, note the time beyond the worker's own."""
        left = iter(range(clips))
        worker: list[float] = []
        beyond: list[float] = []

        async def caller() -> None:
            for _ in left:
                worker_seconds.clear()
                sent = time.perf_counter()
                await self.call()
                took = time.perf_counter() - sent
                if self.callers == 1 and worker_seconds:
                    worker.append(worker_seconds[0])
                    beyond.append(took - worker_seconds[0])

        begun = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(self.callers)))
        if keep:
            self.rates.append(clips / (time.perf_counter() - begun))
            self.worker += worker
            self.beyond += beyond


def _report(compute: worker_pb2.Compute, ways: list[Way]) -> None:
    print(f"clip {compute.frames} x {compute.height} x {compute.width}, {len(compute.clip) / 1000:.0f} kB")
    print(f"{'way':<14}{'clips/s':>9}{'of engine':>11}{'worker ms':>11}{'beyond ms':>11}{'p10 ms':>9}{'p90 ms':>9}")
    for way in ways:
        share = statistics.median(mine / base for mine, base in zip(way.rates, ways[0].rates, strict=True))
        line = f"{way.name:<14}{statistics.median(way.rates):>9.1f}{share:>11.0%}"
        if way.beyond:
            tenths = statistics.quantiles(way.beyond, n=10)
            numbers = (statistics.median(way.worker), statistics.median(way.beyond), tenths[0], tenths[-1])
            line += "".join(f"{1000 * value:>{width}.1f}" for value, width in zip(numbers, (11, 11, 9, 9), strict=True))
        print(line)


def _request(engine: Engine, grad_cam: bool) -> worker_pb2.Compute:
    shape = engine.model.card.input
    pixels = np.random.default_rng(0).integers(0, 256, (shape.frames, shape.height, shape.width, 3), dtype=np.uint8)
    return worker_pb2.Compute(
        clip=pixels.tobytes(),
        frames=shape.frames,
        height=shape.height,
        width=shape.width,
        methods=[method_pb2.Method(grad_cam=method_pb2.GradCam())] if grad_cam else [],
    )


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
