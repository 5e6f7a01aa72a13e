"""Attention whose queries and keys are rotated by their position in time, row and column (RoPE), as V-JEPA 2 has it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handlers.models.blocks.tokens import attend, attended


class RotaryAttention(nn.Module):
    """A third of each head's units is rotated by the patch's time, a third by its row, a third by its column.

    What is left of a head stays as it is. grid: (T', H', W') patches.
    """

    cosine: Tensor
    sine: Tensor
    rotation: Tensor

    def __init__(self, width: int, heads: int, biased: bool, grid: tuple[int, int, int]) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"hidden_size: {width} is no multiple of num_attention_heads {heads}")
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width, biased) for _ in range(3))
        self.proj = nn.Linear(width, width)
        with torch.device("cpu"):  # layouts are compared on the meta device, where this would cost seconds
            angles, rotation = _angles(width // heads, grid), _rotation(width // heads)
        self.register_buffer("cosine", angles.cos().float(), persistent=False)
        self.register_buffer("sine", angles.sin().float(), persistent=False)
        self.register_buffer("rotation", rotation, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] to the same shape."""
        found = attend(self._rotated(self.query(x)), self._rotated(self.key(x)), self.value(x), self.heads)
        result: Tensor = self.proj(found)
        return result

    def rollout(self, x: Tensor, shares: Tensor) -> Tensor:
        """Shares [B, N] of what attention puts out as shares of x."""
        return attended(self._rotated(self.query(x)), self._rotated(self.key(x)), shares, self.heads)

    def _rotated(self, x: Tensor) -> Tensor:
        parts = torch.unflatten(x, -1, (self.heads, -1))
        return (parts * self.cosine + F.linear(parts, self.rotation) * self.sine).flatten(-2)


def _angles(units: int, grid: tuple[int, int, int]) -> Tensor:
    """float64 [1, N, 1, units]: by how much each unit of a head is rotated at each patch.

    Neighbouring units are rotated as pairs, but the published weights are trained with the frequencies of the first
    half of a third repeated for its second half, so the two of a pair differ in angle. They are used as they were
    trained.
    """
    pairs = units // 3 // 2
    frequencies = 1 / 10000 ** (torch.arange(pairs, dtype=torch.float64) / pairs)
    positions = torch.cartesian_prod(*(torch.arange(extent, dtype=torch.float64) for extent in grid))
    thirds = (positions[:, :, None] * frequencies).repeat(1, 1, 2).flatten(1)
    return F.pad(thirds, (0, units - thirds.shape[1]))[None, :, None]


def _rotation(units: int) -> Tensor:
    """[units, units]: the matrix that takes each pair (a, b) to (-b, a)."""
    even = torch.arange(0, units - 1, 2)
    matrix = torch.zeros(units, units)
    matrix[even, even + 1], matrix[even + 1, even] = -1, 1
    return matrix
