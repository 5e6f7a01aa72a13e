"""The temporal relation network's training: what it sees, and that its loss teaches every part."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from training.batches import make_batch
from training.relations import CELLS, FRAMES, SIZE, build, losses, seen, start_with_change


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


def test_a_fresh_network_compares_frames() -> None:
    """What all frames share cancels in every relation of two and more frames; an order of the frames does not."""
    torch.manual_seed(0)
    model = build()
    start_with_change(model)
    same, changing = torch.rand(1, 1, 96).expand(1, FRAMES, 96), torch.rand(1, FRAMES, 96)
    for relation in model.consensus.used(FRAMES)[1:]:
        for features, sees in ((same, False), (changing, True)):
            shown = features[:, : relation.scale].flatten(1)
            change = (relation.first(shown) - relation.first.bias).abs().max()
            assert (change > 1e-2).item() is sees
