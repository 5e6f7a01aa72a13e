"""The temporal relation network's training: what it sees, and that its loss teaches every part."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from training.batches import make_batch
from training.relations import CELLS, FRAMES, SIZE, build, losses, seen


def test_it_sees_eight_frames_spread_over_the_clip() -> None:
    clips = np.arange(16, dtype=np.uint8)[None, :, None, None, None].repeat(3, axis=4)
    shown = seen(clips)
    assert shown.shape == (1, 3, FRAMES, 1, 1)
    assert ((shown[0, 0, :, 0, 0] * 0.25 + 0.5) * 255).round().tolist() == [0, 2, 4, 6, 9, 11, 13, 15]


def test_every_weight_learns_and_the_loss_falls() -> None:
    torch.manual_seed(0)
    model, mover = build(), nn.Linear(96, CELLS * CELLS)
    learnt = [*model.parameters(), *mover.parameters()]
    optimiser = torch.optim.AdamW(learnt, 1e-3)
    batch = make_batch(range(6), SIZE, CELLS)
    falling = []
    for _ in range(8):
        optimiser.zero_grad()
        loss, logits = losses(model, mover, batch)
        loss.backward()
        assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in learnt)
        optimiser.step()
        falling.append(loss.item())
    assert logits.shape == (6, 10)
    assert falling[-1] < 0.8 * falling[0]
