"""Does the heat lie on what moves? python -m benchmarks.motion_precision [--clips 200]

On held-out generated clips, whose moving pixels are known exactly, the share of the positive relevance that lies on
moving pixels (motion precision; selective-relevance paper, 4.3): each map as it is, and the part of it that selective
relevance keeps. Maps of a layer are resized to the pixels. Clips that the model gets wrong count too; clips of which a
method keeps nothing do not count for it: the last column says how many counted.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.held_out import moving_samples
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.explainers.attribution import SaliencyVolume

_MODEL = Path(__file__).resolve().parents[1] / "model_store" / "motion-primitives"
_BASES = ("grad-cam", "dtd")


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--threshold", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    engine = Engine.load(_MODEL)
    found: dict[str, list[float]] = {name: [] for base in _BASES for name in (base, f"selective {base}")}
    areas: list[float] = []
    methods = [
        method
        for base in _BASES
        for method in (
            MethodCall(base),
            MethodCall("selective-relevance", {"base": base, "threshold": options.threshold}),
        )
    ]
    for sample in islice(moving_samples(), options.clips):
        (answer,) = engine.explain([ClipRequest(sample.clip, methods, target=sample.label)])
        assert isinstance(answer, ClipAnswer)
        moving = torch.from_numpy(sample.mask)
        areas.append(float(moving.float().mean()))
        for name, entry in zip(found, answer.explained, strict=True):
            assert isinstance(entry.result, SaliencyVolume)
            share = precision(entry.result, moving)
            if share is not None:
                found[name].append(share)
    print(f"{options.clips} clips; {100 * np.mean(areas):.1f} % of the pixels move\n")
    print("| map | motion precision, mean | median | clips |\n|---|---|---|---|")
    for name, shares in found.items():
        print(f"| {name} | {np.mean(shares):.3f} | {np.median(shares):.3f} | {len(shares)} |")


def precision(volume: SaliencyVolume, moving: Tensor) -> float | None:
    """Share of the positive (kept) relevance on moving pixels; None when there is none. moving: bool [T, H, W]."""
    positive = volume.values.clamp(min=0)
    if volume.mask is not None:
        positive = positive * volume.mask
    size = tuple(moving.shape)
    if tuple(positive.shape) != size:
        positive = functional.interpolate(positive[None, None], size=size, mode="trilinear", align_corners=False)[0, 0]
    whole = float(positive.sum())
    return float(positive[moving].sum()) / whole if whole > 0 else None


if __name__ == "__main__":
    main()
