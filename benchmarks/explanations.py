"""Cost of the live explanations on top of a forward: python -m benchmarks.explanations [--rounds N]

Side by side in one process, by turns (A B C A B C ...), medians over rounds, at 1 x 16 x 112 x 112:

* plain: the network as PyTorch runs it, eager, under inference mode;
* predict: the engine, prediction only;
* grad-cam, + selective: the engine with Grad-CAM, then with selective relevance on it as well;
* dtd, atr, live: relevance at the pixels; the relevance matrix; Grad-CAM, selective relevance on dtd and ATR together.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from actionlens.card import Input, ModelCard, Weights, read_card
from benchmarks.networks import r2plus1d_18
from handlers.engine.engine import ClipRequest, Engine, MethodCall
from handlers.models.action_model import ActionModel, build
from handlers.tensor_files.weights import read_weights

_STORE = Path(__file__).resolve().parents[1] / "model_store"
_ON_CAM = MethodCall("selective-relevance", {"base": "grad-cam"})
_METHODS = {
    "grad-cam": [MethodCall("grad-cam")],
    "+ selective": [MethodCall("grad-cam"), _ON_CAM],
    "dtd": [MethodCall("dtd")],
    "atr": [MethodCall("atr")],
    "live": [MethodCall("grad-cam"), MethodCall("selective-relevance"), MethodCall("atr")],
}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = {name: measure(make(), options.rounds) for name, make in _MODELS.items()}
    print(json.dumps(results, indent=2) if options.json else _table(results))


def measure(pair: tuple[torch.nn.Module, ActionModel], rounds: int) -> dict[str, float]:
    """Median milliseconds by what was run."""
    module, model = pair
    engine = Engine(model)
    size = model.card.input
    clip = np.random.default_rng(0).integers(0, 256, (size.frames, size.height, size.width, 3), dtype=np.uint8)
    ready = model.prepare([clip])

    def plain() -> None:
        with torch.inference_mode():
            module(ready.contiguous())

    runs: dict[str, Callable[[], object]] = {"plain": plain, "predict": lambda: engine.explain([ClipRequest(clip)])}
    for name, methods in _METHODS.items():
        request = ClipRequest(clip, methods, target=0)
        runs[name] = lambda request=request: engine.explain([request])  # type: ignore[misc]
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_index in range(rounds + 2):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if round_index >= 2:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(found) for name, found in times.items()}


def _bundled() -> tuple[torch.nn.Module, ActionModel]:
    folder = _STORE / "motion-primitives"
    card = read_card(folder)
    return build(card, read_weights(folder / card.weights.file)), ActionModel.load(folder)


def _r2plus1d() -> tuple[torch.nn.Module, ActionModel]:
    module = r2plus1d_18().eval()
    card = ModelCard(
        name="r2plus1d-18-like",
        architecture="conv3d",
        weights=Weights(file="none.safetensors", sha256="0" * 64),
        labels=tuple(str(index) for index in range(400)),
        input=Input(frames=16, height=112, width=112),
        layer="9",
    )
    return module, ActionModel(card, module)


_MODELS = {"motion-primitives": _bundled, "r2plus1d-18-like": _r2plus1d}


def _table(results: dict[str, dict[str, float]]) -> str:
    lines = ["| model | " + " | ".join(next(iter(results.values()))) + " |", "|---" * (len(_METHODS) + 3) + "|"]
    for name, found in results.items():
        cells = []
        for run, value in found.items():
            extra = value - found["predict"]
            cells.append(
                f"{value:.1f} ms" + (f" (+{extra:.1f} ms, {value / found['plain']:.2f} F)" if run != "plain" else "")
            )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
