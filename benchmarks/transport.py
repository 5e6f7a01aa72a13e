"""What the way to a TorchServe worker and back costs: python -m benchmarks.transport [--model NAME]

Rounds of the same clips by turns (A B C A B C ...), medians over rounds:

* engine: the engine called in a loop in this process, one clip at a time;
* one: one clip at a time through the backend;
* several: as many clips in flight as share a batch.

Reported: milliseconds per clip beyond the worker's own time, and clips per second beside the engine's.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from actionlens.card import Input, ModelCard, Weights, write_card
from actionlens.v1 import method_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine import Engine
from handlers.envelope import answer
from handlers.models import family
from service.backends.choice import chosen_models
from service.backends.torchserve import TorchServeBackend
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
            settings = Settings(model_store=Path(folder), models=(_STAND_IN,))
        else:
            settings = Settings(models=(options.model,), **({"model_store": options.store} if options.store else {}))
        asyncio.run(_run(settings, options))


async def _run(settings: Settings, options: argparse.Namespace) -> None:
    ((name, folder),) = chosen_models(settings).items()
    engine = Engine.load(folder, len(os.sched_getaffinity(0)))
    request = _request(engine, options.grad_cam)
    backend = TorchServeBackend(settings)
    await backend.start()
    try:
        rates: dict[str, list[float]] = {"engine": [], "one": [], "several": []}
        beyond: list[float] = []
        parts: dict[str, list[float]] = {"worker": [], "transport": []}
        for round_number in range(options.rounds + 1):
            begun = time.perf_counter()
            for _ in range(options.clips):
                answer(engine, [worker_pb2.ComputeRequest(compute=request)])
            engine_rate = options.clips / (time.perf_counter() - begun)

            begun = time.perf_counter()
            extra = []
            for _ in range(options.clips):
                sent = time.perf_counter()
                reply = await backend.compute(name, request, _DEADLINE)
                extra.append(time.perf_counter() - sent - reply.response.timings.total)
                parts["worker"].append(reply.response.timings.total)
                parts["transport"].append(reply.transport)
            one_rate = options.clips / (time.perf_counter() - begun)

            begun = time.perf_counter()
            await _in_flight(backend, name, request, options.clips, 2 * settings.batch_size)
            several_rate = options.clips / (time.perf_counter() - begun)
            if round_number:  # the first round warms up
                rates["engine"].append(engine_rate)
                rates["one"].append(one_rate)
                rates["several"].append(several_rate)
                beyond += extra
    finally:
        await backend.stop()
    _report(request, rates, beyond, parts)


async def _in_flight(
    backend: TorchServeBackend, name: str, request: worker_pb2.Compute, clips: int, callers: int
) -> None:
    left = iter(range(clips))

    async def caller() -> None:
        for _ in left:
            await backend.compute(name, request, _DEADLINE)

    await asyncio.gather(*(caller() for _ in range(callers)))


def _report(
    request: worker_pb2.Compute, rates: dict[str, list[float]], beyond: list[float], parts: dict[str, list[float]]
) -> None:
    medians = {way: statistics.median(values) for way, values in rates.items()}
    print(f"clip {request.frames} x {request.height} x {request.width}, {len(request.clip) / 1000:.0f} kB")
    print(f"worker's own time     {1000 * statistics.median(parts['worker']):7.1f} ms")
    print(f"beyond it             {1000 * statistics.median(beyond):7.1f} ms (median), {_p90(beyond):.1f} ms (p90)")
    for way, rate in medians.items():
        ratios = [mine / reference for mine, reference in zip(rates[way], rates["engine"], strict=True)]
        print(f"{way:<10} {rate:7.1f} clips/s  {100 * statistics.median(ratios):5.0f} % of the engine's")


def _p90(values: list[float]) -> float:
    return 1000 * statistics.quantiles(values, n=10)[-1]


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
