"""All subsequences of a short sequence, level by level: tables that depend on its length alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor


class Lookup:
    """Sums of rows of a table.

    parts: int64 [m, s], the s rows of each of m sums. Sums of all parts come one after another.
    """

    def __init__(self, *parts: Tensor) -> None:
        sizes = torch.cat([torch.full((len(part),), part.shape[1]) for part in parts])
        self._rows, self._starts = torch.cat([part.flatten() for part in parts]), sizes.cumsum(0) - sizes

    def of(self, table: Tensor) -> Tensor:
        """[p, K] to [sums, K]."""
        # The function in torch.nn.functional takes twice as long for short clips.
        sums: Tensor = torch.embedding_bag(table, self._rows, self._starts)[0]
        return sums


@dataclass(frozen=True)
class Level:
    """The subsequences of s elements, by rising bitmask.

    members: int64 [C(n, s), s], rising positions. parents: sums over all subsequences without one of the members, of
    values of the level below. contains: float32 [n, C(n, s)], 1 where the subsequence has the element.
    """

    members: Tensor
    parents: Lookup
    contains: Tensor

    def __len__(self) -> int:
        return len(self.members)


@cache
@torch.inference_mode(False)  # the tables outlive the answer that first needed them
def levels(count: int) -> tuple[Level, ...]:
    """Levels 1 .. n of a sequence of so many elements; built once, 13 MB at n = 16."""
    masks = torch.arange(1 << count)
    has = (masks[:, None] >> torch.arange(count)) & 1
    sizes = has.sum(1)
    row = torch.zeros_like(masks)
    found: list[Level] = []
    for size in range(1, count + 1):
        own = masks[sizes == size]
        row[own] = torch.arange(len(own))
        members = has[own].nonzero()[:, 1].view(-1, size)
        parents = Lookup(row[own[:, None] - (1 << members)])
        found.append(Level(members, parents, has[own].T.contiguous().float()))
    return tuple(found)


@cache
@torch.inference_mode(False)
def in_slots(count: int, most: int) -> Lookup:
    """`rows_in_slots` of all subsequences of up to so many of `count` frames."""
    return Lookup(*(rows_in_slots(level.members, count) for level in levels(count)[:most]))


def rows_in_slots(members: Tensor, count: int) -> Tensor:
    """int64 [m, s]: where subsequences look in the tables (`Relation.table`) of scales 1, 2, 3 ... of a clip of `count`
    frames, one table below the other. members: int64 [m, s], rising positions.
    """
    size = members.shape[1]
    above = sum(scale * (count - scale + 1) for scale in range(1, size))
    return above + members + torch.arange(size) * (count - size)


def row_of(members: Sequence[int], count: int) -> int:
    """The row of a subsequence of one element or more in the tables of its level."""
    masks = (1 << levels(count)[len(members) - 1].members).sum(1)
    return int(torch.searchsorted(masks, sum(1 << member for member in members)))
