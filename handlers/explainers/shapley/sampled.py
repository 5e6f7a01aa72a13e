"""Element Shapley Values of long sequences from a sample of their subsequences (Play Fair, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterator

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
    C(n, n / 2) the result is exact. With fewer every estimate is biased, by about as much as 1 / `most`, because the
    softmax of an uncertain mean is not the mean of its softmax; more iterations do not take that away.
    """
    count = len(features)
    scores = Scores(consensus, features)
    values = None
    chosen, chances = [], []
    for size, (masks, grown) in enumerate(drawn(count, most, seed), start=1):
        has = members(grown, count)
        frames = has.nonzero()[:, 1].view(-1, size)
        own = None
        if size <= scores.most:
            own = scores.of(size, scores.hidden(Lookup(rows_in_slots(frames, count))))[:, : scores.classes]
        values = _following(own, values, masks, grown, _bits(count)[frames], scores.share(size))
        chosen.append(has)
        chances.append(values.softmax(1))
    return sums_of(torch.cat(chosen), torch.cat(chances))


def drawn(count: int, most: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(those of s - 1 elements, those of s), s = 1 .. count: at most `most` subsequences of each scale as sorted
    bitmasks, int64, each one of those before with one more element. count <= 64."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(1, dtype=torch.int64)
    for _ in range(count):
        grown = _grown(masks, _bits(count))
        if len(grown) > most:
            grown = grown[torch.randperm(len(grown), generator=generator)[:most].sort().values]
        yield masks, grown
        masks = grown


def members(masks: Tensor, count: int) -> Tensor:
    """bool [m, count]: which elements each bitmask has."""
    return (masks[:, None] & _bits(count)) != 0


def _bits(count: int) -> Tensor:
    return torch.ones(count, dtype=torch.int64) << torch.arange(count)


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
