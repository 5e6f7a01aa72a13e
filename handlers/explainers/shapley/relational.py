"""The value of every subsequence to a multi-scale relational model, in one recursion over the scales."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from handlers.explainers.shapley.exact import Shapley, shapley
from handlers.explainers.shapley.subsets import Lookup, in_slots, levels
from handlers.models.blocks.consensus import Relation, RelationalConsensus

LANES = 16
"""Large matrix products are up to 1.4 times as fast when a row's length is a multiple of so many numbers."""

WIDE = 12
"""From so many frames on the products are large enough to repay the copy of the weights."""


class Scores:
    """Logits of subsequences of one clip, scale by scale. features: [n, D].

    most: n_max. width: of logits, `classes` or more; the columns beyond mean nothing.
    """

    def __init__(self, consensus: RelationalConsensus, features: Tensor) -> None:
        relations = consensus.used(len(features))
        # A frame alone is compared with itself.
        self._relations = [relations[0]] * (consensus.fewest - 1) + relations
        self.most = min(len(self._relations), len(features))
        self.classes = relations[0].last.out_features
        self.width = self.classes if len(features) < WIDE else -(-self.classes // LANES) * LANES
        self._shares = [consensus.share(size) for size in range(1, self.most + 1)]
        self._total = consensus.total
        self._table = torch.cat([_table(self._relations[size], features, size + 1) for size in range(self.most)])

    def share(self, size: int) -> float:
        """The part of f^s in f_ms of subsequences of s = size frames: 1 / s where all scales count alike, 0 beyond
        n_max."""
        return self._shares[size - 1] if size <= self.most else 0.0

    def hidden(self, slots: Lookup) -> Tensor:
        """[m, hidden] of subsequences of up to `most` frames."""
        return slots.of(self._table).relu_()

    def of(self, size: int, hidden: Tensor, out: Tensor | None = None) -> Tensor:
        """The share of f^s in the logits of subsequences of s = size frames: [m, `width`]. hidden: their units."""
        last, missing = self._relations[size - 1].last, self.width - self.classes
        weight: Tensor = functional.pad(last.weight, (0, 0, 0, missing)) if missing else last.weight
        bias: Tensor = functional.pad(last.bias, (0, missing)) if missing else last.bias
        times = self._total * self.share(size)
        logits: Tensor = torch.addmm(bias, hidden, weight.T, beta=times, alpha=times, out=out)
        return logits


def _table(relation: Relation, features: Tensor, size: int) -> Tensor:
    """[rows, hidden] of subsequences of so many frames: the first layer as a look-up."""
    if relation.scale == size:
        return relation.table(features[None]).flatten(0, 2)
    table: Tensor = relation.first(features.repeat(1, relation.scale))
    return table


@torch.no_grad()
def relational_levels(consensus: RelationalConsensus, features: Tensor) -> tuple[Tensor, ...]:
    """softmax(f_ms) [C(n, s), K] of every subsequence of the clip, level by level.

    features: [n, D]. Eq. 9 of Play Fair: f_ms(S) = (f^s(S) + (s - 1) mean f_ms(S without one)) / s up to n_max, the
    mean alone beyond. (Its Algorithm 1, line 11, has another factor (s - 1) / s, which Eq. 9 and Eq. 8 contradict.)
    Where scales do not count alike, `Scores.share` is in the place of 1 / s.
    """
    scores, tables = Scores(consensus, features), levels(len(features))
    counts = [len(level) for level in tables]
    hidden = torch.split(scores.hidden(in_slots(len(features), scores.most)), counts[: scores.most])
    logits = features.new_empty((sum(counts), scores.width))
    below, *above = torch.split(logits, counts)
    scores.of(1, hidden[0], out=below)
    for size, (level, own) in enumerate(zip(tables[1:], above, strict=True), start=2):
        others, rest = level.parents.of(below), (1 - scores.share(size)) / size
        if size <= scores.most:
            scores.of(size, hidden[size - 1], out=own).add_(others, alpha=rest)
        else:
            torch.mul(others, rest, out=own)
        below = own
    return torch.split(logits[:, : scores.classes].softmax(1), counts)


def relational_values(consensus: RelationalConsensus, features: Tensor, prior: Tensor) -> Shapley:
    """Exact Element Shapley Values of a clip of n <= 16 frames. features: [n, D]. prior: [K], f of no frames."""
    return shapley(relational_levels(consensus, features), prior, len(features))
