"""Element Shapley Values of long sequences from a sample of their subsequences (Play Fair, Algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from handlers.explainers.shapley.relational import Scores
from handlers.explainers.shapley.subsets import Lookup, rows_in_slots
from handlers.explainers.shapley.sums import Sums, sums_of
from handlers.models.blocks.consensus import RelationalConsensus


@torch.no_grad()
def sample(consensus: RelationalConsensus, features: Tensor, most: int, seed: int) -> Sums:
    """One iteration: at most `most` subsequences of every scale, each one element longer than a sampled one.

    features: [n, D], n <= 64. f_ms of a subsequence comes from its sampled parents alone, so with `most` at least
    C(n, n / 2) the result is exact, and the error of fewer shrinks with their number.
    """
    count = len(features)
    generator = torch.Generator().manual_seed(seed)
    scores = Scores(consensus, features)
    bits = torch.ones(count, dtype=torch.int64) << torch.arange(count)
    masks, values = torch.zeros(1, dtype=torch.int64), None
    chosen, chances = [], []
    for size in range(1, count + 1):
        grown = _grown(masks, bits)
        if len(grown) > most:
            grown = grown[torch.randperm(len(grown), generator=generator)[:most].sort().values]
        has = (grown[:, None] & bits) != 0
        members = has.nonzero()[:, 1].view(-1, size)
        own = None
        if size <= scores.most:
            own = scores.of(size, scores.hidden(Lookup(rows_in_slots(members, count))))[:, : scores.classes]
        values = _following(own, values, masks, grown, bits[members], scores.share(size))
        masks = grown
        chosen.append(has)
        chances.append(values.softmax(1))
    return sums_of(torch.cat(chosen), torch.cat(chances))


def _grown(masks: Tensor, bits: Tensor) -> Tensor:
    """All different sets, as bitmasks, of one of these and one more element."""
    candidates = (masks[:, None] | bits)[(masks[:, None] & bits) == 0]
    found: Tensor = torch.unique(candidates)
    return found


def _following(
    own: Tensor | None, below: Tensor | None, masks: Tensor, grown: Tensor, members: Tensor, share: float
) -> Tensor:
    """f_ms [m, K] from the share of f^s [m, K] (None beyond n_max) and the mean over those parents that were drawn.

    masks: sorted, those of the level below, whose f_ms is `below`. members: the bits of every new set's elements.
    """
    if below is None:
        assert own is not None
        return own
    wanted = grown[:, None] ^ members
    rows = torch.searchsorted(masks, wanted).clamp_(max=len(masks) - 1)
    there = (masks[rows] == wanted).to(below.dtype)
    summed = functional.embedding_bag(rows, below, mode="sum", per_sample_weights=there)
    mean = summed / there.sum(1, keepdim=True)
    return mean if own is None else own.add_(mean, alpha=1 - share)
