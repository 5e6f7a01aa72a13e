"""The mean of the weights of sittings that went on from each other: python -m training.mean DIR DIR ... --out DIR

Such weights lie close together, and their mean is better than the worst and often than the best of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from training.train import save


def mean(folders: list[Path]) -> dict[str, Tensor]:
    """The mean of the weights in `folders`, batch norm statistics included; counters are the first folder's."""
    states = [load_file(folder / "weights.safetensors") for folder in folders]
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Average the weights of several sittings.")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    save(mean(options.folders), options.out)


if __name__ == "__main__":
    main()
