"""Make a network as sure as it is right: python -m training.calibrate --weights DIR --out DIR2

Divides all logits by the one temperature that fits the answers on clips never trained on best (Guo et al., On
Calibration of Modern Neural Networks, 4.2), and folds it into the head: answers and all maps but their scale stay.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from actionlens.generated_clips.clips import generate
from actionlens.generated_clips.webcam.webcam_clips import generate_webcam
from training.batches import normalise
from training.clip_sets import halved
from training.evaluate import load_model
from training.refine import save

#: First seed of the clips; of neither set, and below the held-out ones.
SEED = 95_000_000


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature with the least cross entropy. logits: [N, K]. labels: [N]."""
    grid = torch.linspace(-1.5, 1.5, 301).exp()
    losses = [float(functional.cross_entropy(logits / value, labels)) for value in grid]
    return float(grid[int(torch.tensor(losses).argmin())])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=400, help="clips of each of the two sets")
    options = parser.parse_args()
    model, logits, labels = load_model(options.weights), [], []
    for draw in (generate, generate_webcam):
        for seed in range(SEED, SEED + options.count):
            sample = draw(seed)
            with torch.inference_mode():
                logits.append(model(normalise(halved(sample)[0][None])))
            labels.append(sample.label)
    found = temperature(torch.cat(logits), torch.tensor(labels))
    weights = {name: value / found if name.startswith("head.") else value for name, value in model.state_dict().items()}
    save(weights, options.out)
    print(f"temperature {found:.3f} on {len(labels)} clips")


if __name__ == "__main__":
    main()
