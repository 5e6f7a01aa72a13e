"""Your own network, served with its explanations: python examples/own_model.py [OUT]

It writes OUT/own.pth, and names for its classes. No card, and nothing of ActionLens in the network:

    actionlens models import --module examples/own_model.py:Net --weights own.pth --labels own.txt \
        --frames 8 --size 32 --trust-code
    actionlens serve --trust-code
    actionlens explain CLIP.mp4 --model own -x grad-cam -x dtd
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """Maps clips, float32 [B, 3, T, H, W], to logits [B, K]."""

    def __init__(self, num_classes: int, width: int = 8) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv3d(3, width, 3, stride=(1, 2, 2), padding=1),
            nn.BatchNorm3d(width),
            nn.ReLU(),
            nn.Conv3d(width, 2 * width, 3, stride=(1, 2, 2), padding=1),
            nn.ReLU(),
        )
        self.head = nn.Linear(2 * width, num_classes)

    def forward(self, clip: Tensor) -> Tensor:
        """The logits of these clips."""
        logits: Tensor = self.head(self.features(clip).mean((2, 3, 4)))
        return logits


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    torch.manual_seed(0)
    # Here you would train it.
    torch.save({"epoch": 12, "state_dict": Net(num_classes=3).state_dict()}, out / "own.pth")
    (out / "own.txt").write_text("wave\nclap\nnothing\n")
