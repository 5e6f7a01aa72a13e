"""All subsequences of a short sequence, level by level: tables that depend on its length alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Level:
    """The subsequences of s elements, by rising bitmask.

    members: int64 [C(n, s), s], rising positions. rows: the same, slot * n + position, of a table for every slot and
    position. parents: int64 [C(n, s), s]; row k without its i-th member is row
    parents[k, i] of the level below. contains: float32 [n, C(n, s)], 1 where the subsequence has the element.
    """

    members: Tensor
    rows: Tensor
    parents: Tensor
    contains: Tensor


@cache
@torch.inference_mode(False)  # the tables outlive the answer that first needed them
def levels(count: int) -> tuple[Level, ...]:
    """Levels 1 .. n of a sequence of so many elements; built once, 17 MB at n = 16."""
    masks = torch.arange(1 << count)
    has = (masks[:, None] >> torch.arange(count)) & 1
    sizes = has.sum(1)
    row = torch.zeros_like(masks)
    found: list[Level] = []
    for size in range(1, count + 1):
        own = masks[sizes == size]
        row[own] = torch.arange(len(own))
        members = has[own].nonzero()[:, 1].view(-1, size)
        parents = row[own[:, None] - (1 << members)]
        rows = members + torch.arange(size) * count
        found.append(Level(members, rows, parents, has[own].T.contiguous().float()))
    return tuple(found)


def row_of(members: Sequence[int], count: int) -> int:
    """The row of a subsequence of one element or more in the tables of its level."""
    masks = (1 << levels(count)[len(members) - 1].members).sum(1)
    return int(torch.searchsorted(masks, sum(1 << member for member in members)))
