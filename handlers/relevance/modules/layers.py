"""Modules that networks are built from where torch.nn has none whose meaning can be read off its parts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SamePad(nn.Module):
    """Zeros around [B, C, T, H, W], as TensorFlow's "same" pads: each axis for ceil(extent / stride) outputs.

    size, stride: of the convolution or pooling behind it, per axis. An odd zero goes behind.
    """

    def __init__(self, size: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        self.size = tuple(size)
        self.stride = tuple(stride)

    def amounts(self, shape: Sequence[int]) -> tuple[int, ...]:
        """As torch.nn.functional.pad takes them, for an input of that shape."""
        found: list[int] = []
        for axis in (2, 1, 0):
            extent, size, stride = int(shape[axis + 2]), self.size[axis], self.stride[axis]
            total = max(0, (-(-extent // stride) - 1) * stride + size - extent)
            found += [total // 2, total - total // 2]
        return tuple(found)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] padded."""
        return F.pad(x, self.amounts(x.shape))


class EvenFrames(nn.Module):
    """Every `every`-th part of the frames of [B, C, T, H, W]: T // every of them, evenly from the first to the last.

    Positions round down, as public SlowFast code picks the frames of the slow pathway.
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every

    def positions(self, frames: int) -> list[int]:
        """Which of so many frames are taken."""
        return list(_evenly(frames, frames // self.every))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T // every, H, W]."""
        return x[:, :, self.positions(x.shape[2])]


@cache  # also because a graph cannot be exported while it is worked out
def _evenly(frames: int, count: int) -> tuple[int, ...]:
    # In float32 as torch does it: another precision rounds some positions to the other side.
    return tuple(torch.linspace(0, frames - 1, count).long().tolist())
