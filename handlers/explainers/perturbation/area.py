"""How far a mask is from keeping exactly its share: the ranking term (comprehensive study, Eq. 4)."""

from __future__ import annotations

import torch
from torch import Tensor


def ranking(masks: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """mean (sort(m) - r)^2 per mask, r being zeros and then a share of ones; and its gradient.

    masks: [N, n] values in 0 .. 1; shares: [N] in 0 .. 1. Returns ([N], [N, n]). No sort: only the value at the border
    is looked for. Values that tie there share what is left, so a constant mask shrinks evenly and not in the order of
    its pixels.
    """
    count = masks.shape[1]
    terms, gradients = [], []
    for mask, share in zip(masks, shares.tolist(), strict=True):
        ones = share * count
        border = _value_at(mask, min(int(ones), count - 1))
        above, tied = mask > border, mask == border
        # what of r the tied values get
        left = (ones - float(above.sum())) / float(tied.sum())
        wanted = above.to(mask.dtype).add_(tied, alpha=min(1.0, max(0.0, left)))
        terms.append(((mask - 2 * wanted) * mask + wanted).mean())
        gradients.append((mask - wanted) * (2 / count))
    return torch.stack(terms), torch.stack(gradients)


def _value_at(mask: Tensor, rank: int) -> Tensor:
    """The value that so many are before, counted from the largest; looked for from the nearer end."""
    if 2 * rank < len(mask):
        return mask.topk(rank + 1, sorted=False).values.min()
    return mask.topk(len(mask) - rank, largest=False, sorted=False).values.max()
