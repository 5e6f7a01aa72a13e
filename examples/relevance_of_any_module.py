"""Relevance propagation through a torch module of your own: python examples/relevance_of_any_module.py

No service is needed.
The module is traced once and is not changed; an operation without a rule is refused by its name.
"""

import torch
from torch import nn

from actionlens.relevance import Rules, bounds_of_pixels, relevance, temporal_relevance, trace

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


class Net(nn.Module):
    """Two convolutions; the logits are the mean of logits per frame, which ATR needs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv3d(8, 16, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(16, 4, bias=False)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.body(clip).mean((2, 3, 4)))
        return logits


torch.manual_seed(0)
clips = (torch.rand(1, 3, 8, 32, 32) - 0.5) / 0.25  # [B, C, T, H, W]: pixels 0 .. 1, normalised
low, high = bounds_of_pixels(MEAN, STD)  # with the bounds, the layer that reads the pixels uses the zB rule
forward = trace(Net().eval(), Rules(low=low, high=high)).forward(clips)
best = forward.logits.argmax(1)
found, rows = relevance(forward, best), temporal_relevance(forward, best)

print(f"logit {forward.logits[0, best].item():.4f}, relevance in all {found.values.sum().item():.4f}")
print("by frame:", [round(share, 4) for share in found.values.sum((1, 3, 4))[0].tolist()])
print(f"ATR {list(rows.values.shape)}: an output step needs {rows.average[0]:.1f} of 8 frames on average")
