"""Long short-term memory over the frames of a clip, dense or convolutional, as one layer."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class States(NamedTuple):
    """All states of a recurrence. hidden, cells: [B, K, T, H', W'] after every frame; gates: [B, 4 K, T, H', W'],
    opened: input, forget, candidate and output, as torch.nn.LSTM and Keras order them."""

    hidden: Tensor
    cells: Tensor
    gates: Tensor


class ConvLSTM(nn.Module):
    """Every hidden state of an LSTM whose products are convolutions of single frames (Shi et al., 2015, no peepholes).

    inputs: C. hidden: K. kernel, stride, padding: of the convolution of the frame; a kernel as large as the frame makes
    one vector of it, and with recurrent=1 this is the usual LSTM on that vector. recurrent: odd extent of the
    convolution of the hidden state, which keeps its size. The first state is zero.
    """

    def __init__(
        self, inputs: int, hidden: int, kernel: int = 1, stride: int = 1, padding: int = 0, recurrent: int = 1
    ) -> None:
        super().__init__()
        if recurrent % 2 == 0:
            raise ValueError(f"recurrent: {recurrent} is even, so the hidden state would change its size")
        self.stride = stride
        self.padding = padding
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden, inputs, kernel, kernel))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden, hidden, recurrent, recurrent))
        self.bias = nn.Parameter(torch.empty(4 * hidden))
        bound = hidden**-0.5
        for tensor in self.parameters():
            nn.init.uniform_(tensor, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to [B, K, T, H', W']."""
        return self.states(x).hidden

    def states(self, x: Tensor) -> States:
        """All that the recurrence goes through for [B, C, T, H, W]."""
        stride, padding = (1, self.stride, self.stride), (0, self.padding, self.padding)
        seen = F.conv3d(x, self.weight_ih.unsqueeze(2), self.bias, stride, padding)
        around = self.weight_hh.shape[-1] // 2
        hidden = cell = seen.new_zeros((seen.shape[0], seen.shape[1] // 4, *seen.shape[3:]))
        found = []
        for frame in seen.unbind(2):
            parts = (frame + F.conv2d(hidden, self.weight_hh, padding=around)).chunk(4, 1)
            enter, keep, leave = (parts[index].sigmoid() for index in (0, 1, 3))
            candidate = parts[2].tanh()
            cell = keep * cell + enter * candidate
            hidden = leave * cell.tanh()
            found.append((hidden, cell, torch.cat([enter, keep, candidate, leave], 1)))
        return States(*(torch.stack(part, 2) for part in zip(*found, strict=True)))
