"""Groups of frames as elements, and clips in which some of them are absent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True)
class Elements:
    """Frames 0 .. frames - 1 in `count` groups of consecutive frames, as even as can be; at most one group a frame."""

    frames: int
    count: int

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """(first, last) frame of every group."""
        edges = [index * self.frames // self.count for index in range(self.count + 1)]
        return [(first, after - 1) for first, after in pairwise(edges)]

    def spread(self, values: Tensor) -> Tensor:
        """Values [count] of the groups, each shared evenly among its frames: [frames]."""
        sizes = torch.tensor([last - first + 1 for first, last in self.bounds])
        return (values / sizes).repeat_interleave(sizes)

    def held(self, kept: Sequence[int]) -> Tensor:
        """int64 [frames]: the frame that is seen in each one's place: itself or, of those that are absent, the nearest
        kept one, of two the earlier. kept: groups, at least one."""
        there = torch.cat([torch.arange(self.bounds[group][0], self.bounds[group][1] + 1) for group in sorted(kept)])
        nearest = (torch.arange(self.frames)[:, None] - there).abs().argmin(1)
        return there[nearest]

    def averaged(self, clip: Tensor, kept: Sequence[int]) -> Tensor:
        """The clip [C, T, H, W] with every absent frame replaced by the mean frame of the whole clip."""
        result = clip.mean(1, keepdim=True).repeat(1, self.frames, 1, 1)
        for group in kept:
            first, last = self.bounds[group]
            result[:, first : last + 1] = clip[:, first : last + 1]
        return result
