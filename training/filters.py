"""First-layer filters: a start that sees motion at once, and the change from half to full resolution."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from handlers.relevance import ConvLSTM


def moving_edges(filters: int, kernel: tuple[int, int, int]) -> Tensor:
    """Drifting Gabor patterns in eight directions and several speeds, each pixel's mean over time removed,
    float32 [filters, 1, *kernel], unit norm."""
    axes = [torch.arange(size, dtype=torch.float32) - size // 2 for size in kernel]
    time, row, column = torch.meshgrid(*axes, indexing="ij")
    patterns = []
    for index in range(filters):
        direction = 2 * math.pi * (index % 8) / 8
        frequency, speed, phase = ((0.16, 1.0, 0.0), (0.12, 2.0, 0.0), (0.16, 1.0, math.pi / 2))[index // 8 % 3]
        along = column * math.cos(direction) + row * math.sin(direction) - speed * time
        wave = torch.cos(2 * math.pi * frequency * along + phase) * torch.exp(-(row**2 + column**2) / 6)
        wave = wave - wave.mean(dim=0)
        patterns.append(wave / wave.norm())
    return torch.stack(patterns)[:, None]


def start_with_motion(convolution: nn.Conv3d) -> None:
    """Set a first layer's weights so that a still frame gives no response and a moving edge gives a directed one.

    From the usual random start the surfaces in a clip drown what moves: the loss stays at chance for hundreds of
    steps. From this start it falls within twenty. Nothing holds the filters there during training.
    """
    weight = convolution.weight
    _, _, depth, height, width = weight.shape
    with torch.no_grad():
        norm = weight.flatten(1).norm(dim=1).mean()
        weight.sub_(weight.mean(dim=2, keepdim=True)).mul_(0.2)
        weight.add_(moving_edges(len(weight), (depth, height, width)) * norm / math.sqrt(weight.shape[1]))


def recur_on_motion(layer: ConvLSTM) -> None:
    """Set a convolutional LSTM's weights so that its units tell directions of motion apart; from the usual random start
    it stays at chance for the first hundred steps and more.

    A third of the units hold the edges of the frame, in as many directions. The others take from the frame's edges
    those of the frame before, one cell along their direction or against it, so that they fall silent for what moves
    by a cell per frame the other way or that way; all forget at once. Nothing holds the weights there during training.
    """
    hidden = layer.weight_hh.shape[1]
    kernel, around = layer.weight_ih.shape[-1], layer.weight_hh.shape[-1] // 2
    held = max(1, hidden // 3)
    axis = torch.arange(kernel, dtype=torch.float32) - kernel // 2
    row, column = torch.meshgrid(axis, axis, indexing="ij")
    with torch.no_grad():
        layer.weight_ih.mul_(0.1)
        layer.weight_hh.mul_(0.1)
        layer.bias.copy_(torch.tensor([2.0, -2.0, 0.0, 2.0]).repeat_interleave(hidden))
        candidates = slice(2 * hidden, 3 * hidden)
        into, back = layer.weight_ih[candidates], layer.weight_hh[candidates]
        for unit in range(hidden):
            edge = unit % held
            angle = math.pi * edge / held
            along = column * math.cos(angle) + row * math.sin(angle)
            wave = along * torch.exp(-(row**2 + column**2) / 4)
            into[unit] += wave / wave.norm() / math.sqrt(into.shape[1])
            if unit >= held:
                way = 1 if unit < 2 * held else -1
                moved = around + way * round(math.sin(angle)), around + way * round(math.cos(angle))
                back[unit, edge, moved[0], moved[1]] -= 1.3  # the held edge comes back through two tanh and two gates


def half_size(layer: nn.Conv3d) -> nn.Conv3d:
    """A fresh layer for frames half as large as `layer`'s: kernel, stride and padding are half of its."""
    depth, height, width = layer.kernel_size
    narrow = nn.Conv3d(
        layer.in_channels,
        layer.out_channels,
        (depth, height // 2, width // 2),
        stride=(1, layer.stride[1] // 2, layer.stride[2] // 2),
        padding=(depth // 2, height // 4, width // 4),
        bias=False,
    )
    start_with_motion(narrow)
    return narrow


def take_over(layer: nn.Conv3d, narrow: nn.Conv3d) -> None:
    """Make `layer` do on full-size frames exactly what `narrow` does on their 2 x 2 means."""
    with torch.no_grad():
        layer.weight.copy_(narrow.weight.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4) / 4)


def give_back(layer: nn.Conv3d, narrow: nn.Conv3d) -> None:
    """The reverse of `take_over`: make `narrow` do on 2 x 2 means what `layer` does on frames that equal their own
    2 x 2 means (each pixel the same as its three neighbours)."""
    with torch.no_grad():
        outputs, inputs, depth, height, width = layer.weight.shape
        blocks = layer.weight.reshape(outputs, inputs, depth, height // 2, 2, width // 2, 2)
        narrow.weight.copy_(blocks.sum(dim=(4, 6)))
