"""Cost of overlapping windows of frame-wise models: python -m benchmarks.frame_features [--threads 1] [--rounds 7]

Windows (16 frames for a wide temporal segment network, 8 for a temporal relation network) follow each other by a hop of
1, 2, 4 ... frames, as in a live stream. "plain" computes every window anew; "reused" computes the frames that the
window before did not have, as workers do. Each round makes the windows of one hop both ways, in turns; medians of the
process's CPU time, which other work on the machine disturbs least, over all windows but the first, and their ratio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from actionlens.card import Input, ModelCard, Weights
from handlers.engine.frame_cache import FrameCache
from handlers.malloc import keep_freed_memory
from handlers.models import family
from handlers.models.action_model import ActionModel
from handlers.relevance import Pass

HOPS = (1, 2, 4, 8, 16)
WIDE = {"channels": [64, 128, 256, 512], "cells": 4, "width": 256}


def wide(architecture: str, frames: int) -> ActionModel:
    """A network with a backbone of 2.1 million weights on 112 x 112 pixels, untrained."""
    card = ModelCard(
        name=f"wide-{architecture}",
        architecture=architecture,
        arguments=WIDE,
        weights=Weights(file="weights.safetensors", sha256="0" * 64),
        labels=tuple(map(str, range(100))),
        input=Input(frames=frames, height=112, width=112),
    )
    torch.manual_seed(0)
    return ActionModel(card, family(architecture).build(classes=100, **WIDE).eval())


def explained(model: ActionModel, forward: Pass, cam: bool) -> None:
    """The part of Grad-CAM beyond the forward."""
    if cam:
        forward.gradient(model.layer, torch.ones_like(forward.logits))


def ways(model: ActionModel, cam: bool) -> dict[str, Callable[[NDArray[np.uint8]], None]]:
    """From a window's pixels to its logits (and to the gradient of Grad-CAM), both ways."""
    keep, seen = ([model.layer] if cam else []), FrameCache(model)

    def plain(window: NDArray[np.uint8]) -> None:
        explained(model, model.program.forward(model.prepare([window]), keep, relevance=False), cam)

    def reused(window: NDArray[np.uint8]) -> None:
        explained(model, seen.forward([window], keep, relevance=False), cam)

    return {"plain": plain, "reused": reused}


@torch.inference_mode()
def measure(model: ActionModel, hop: int, cam: bool, rounds: int) -> dict[str, float]:
    """Median CPU seconds per window."""
    rng, size = np.random.default_rng(hop), model.card.input
    took: dict[str, list[float]] = {"plain": [], "reused": []}
    for _ in range(rounds):
        frames = rng.integers(0, 256, (size.frames + 8 * hop, size.height, size.width, 3), dtype=np.uint8)
        candidates = ways(model, cam)
        for first in range(0, 8 * hop + 1, hop):
            for name, way in candidates.items():
                start = time.process_time()
                way(frames[first : first + size.frames])
                if first:
                    took[name].append(time.process_time() - start)
    return {name: median(seconds) for name, seconds in took.items()}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    for model in (wide("tsn", 16), wide("trn", 8)):
        for cam in (False, True):
            frames = model.card.input.frames
            for hop in (hop for hop in HOPS if hop <= frames):
                found = measure(model, hop, cam, options.rounds)
                print(
                    f"{model.card.name}, {'Grad-CAM' if cam else 'prediction'}, hop {hop:2d} of {frames}: "
                    f"plain {1000 * found['plain']:.2f} ms, reused {1000 * found['reused']:.2f} ms, "
                    f"ratio {found['reused'] / found['plain']:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
