"""Voxels, or patches of them, in the order of a map. Equal values are ordered at random: a constant map gives a random
order, not that of the raster.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ranking:
    """Units of a clip (voxels, or patches of them), the most relevant first.

    voxels: int64 [V], the voxels of the units one unit after another, by their number in the flattened clip
    [T * H * W]; padding is not among them. sizes: int64 [U], how many of them each unit has. tied: share of the units
    whose value another one has too, 0 .. 1.
    """

    voxels: Tensor
    sizes: Tensor
    tied: float

    def __len__(self) -> int:
        return len(self.sizes)

    def first(self, units: int) -> Tensor:
        """int64: the voxels of so many units."""
        return self.voxels[: int(self.sizes[:units].sum())]

    def ends(self, steps: int) -> Tensor:
        """int64 [steps + 1]: how many voxels the first floor(t U / steps) units have, t = 0 .. steps."""
        units = torch.arange(steps + 1) * len(self) // steps
        return torch.cat((self.sizes.new_zeros(1), self.sizes.cumsum(0)))[units]


def order(values: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
    """Ranks of values, the largest first, of equal ones a random one first; and the share of values that are tied.

    values: float [n]. Returns (int64 [n], a permutation; share of the values that another one equals, 0 .. 1).
    """
    if not len(values):
        return torch.zeros(0, dtype=torch.int64), 0.0
    shuffled = torch.randperm(len(values), generator=generator)
    ordered, ranks = values[shuffled].sort(descending=True, stable=True)
    same = ordered[1:] == ordered[:-1]
    alone = torch.zeros(1, dtype=torch.bool)
    tied = torch.cat((alone, same)) | torch.cat((same, alone))
    return shuffled[ranks], float(tied.double().mean())


def ranked_voxels(values: Tensor, seen: Tensor, generator: torch.Generator) -> Ranking:
    """Every voxel by itself. values: float [T, H, W]. seen: bool [H, W], what is no padding."""
    places = seen.expand_as(values).flatten().nonzero()[:, 0]
    ranks, tied = order(values.flatten()[places], generator)
    return Ranking(places[ranks], torch.ones_like(ranks), tied)


def patch_numbers(seen: Tensor, frames: int, grid: int = 16) -> Tensor:
    """int64 [T, H, W]: the patch of each voxel, of grid x grid of each frame, as even as can be; -1 for padding.

    Patches are numbered in the order of time, rows and columns, and those without a voxel have no number. seen: bool
    [H, W].
    """
    height, width = seen.shape
    rows, columns = (torch.arange(size) * grid // size for size in (height, width))
    cells = rows[:, None] * grid + columns
    there = cells[seen].bincount(minlength=grid * grid) > 0
    of_frame = (there.cumsum(0) - 1)[cells]
    found = of_frame + int(there.sum()) * torch.arange(frames)[:, None, None]
    return found.masked_fill(~seen, -1)


def ranked_patches(values: Tensor, seen: Tensor, generator: torch.Generator, grid: int = 16) -> Ranking:
    """Patches of grid x grid of each frame, ranked over the whole clip by the mean of their voxels.

    values: float [T, H, W]. seen: bool [H, W]; a patch that is padding in part consists of the rest of it.
    """
    numbers = patch_numbers(seen, len(values), grid).flatten()
    places = (numbers >= 0).nonzero()[:, 0]
    numbers = numbers[places]
    by_patch = numbers.argsort(stable=True)
    sizes = numbers.bincount()
    sums = torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, numbers, values.flatten().double()[places])
    # Rounded, so that the same value is the same mean in patches of different sizes.
    means = (sums / sizes).float()
    ranks, tied = order(means, generator)
    starts = sizes.cumsum(0) - sizes
    ordered = sizes[ranks]
    within = torch.arange(int(sizes.sum())) - (ordered.cumsum(0) - ordered).repeat_interleave(ordered)
    return Ranking(places[by_patch[starts[ranks].repeat_interleave(ordered) + within]], ordered, tied)
