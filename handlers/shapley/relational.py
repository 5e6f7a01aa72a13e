"""The value of every subsequence to a multi-scale relational model, in one recursion over the scales."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from handlers.models.consensus import Relation, RelationalConsensus
from handlers.shapley.exact import Shapley, shapley
from handlers.shapley.subsets import levels


class Scores:
    """What the scales of a model say about subsequences of one clip. features: [n, D]."""

    def __init__(self, consensus: RelationalConsensus, features: Tensor) -> None:
        self._consensus = consensus
        self._relations = {relation.scale: relation for relation in consensus.used(len(features))}
        self._features = features

    def share(self, size: int) -> float:
        """The part of f^s in f_ms of subsequences of s = size frames: 1 / s where all scales count alike, 0 beyond
        n_max."""
        return self._consensus.share(size) if size <= max(self._relations) else 0.0

    def of(self, members: Tensor) -> Tensor | None:
        """Logits [m, K] of f^s, as all scales together count, for subsequences int64 [m, s]; None beyond n_max.

        The first layer is a look-up: the sum over the slots of what a slot's frame adds to the hidden units.
        """
        if members.shape[1] > max(self._relations):
            return None
        members = self._consensus.held(members)
        size = members.shape[1]
        relation = self._relations[size]
        table = _table(relation, self._features)
        rows = members + torch.arange(size) * len(self._features)
        hidden = functional.embedding_bag(rows, table, mode="sum").relu_()
        logits: Tensor = relation.last(hidden)
        return logits.mul_(self._consensus.total)


def _table(relation: Relation, features: Tensor) -> Tensor:
    """[scale * n, hidden]; the bias counts once, in the first slot."""
    table = relation.table(features[None])[:, 0]
    table[0] += relation.first.bias
    return table.flatten(0, 1)


@torch.no_grad()
def relational_levels(consensus: RelationalConsensus, features: Tensor) -> Iterator[Tensor]:
    """softmax(f_ms) [C(n, s), K] of every subsequence of the clip, level by level.

    features: [n, D]. Eq. 9 of Play Fair: f_ms(S) = (f^s(S) + (s - 1) mean f_ms(S without one)) / s up to n_max, the
    mean alone beyond. (Its Algorithm 1, line 11, has another factor (s - 1) / s, which Eq. 9 and Eq. 8 contradict.)
    Where scales do not count alike, `Scores.share` is in the place of 1 / s.
    """
    scores = Scores(consensus, features)
    below: Tensor | None = None
    for size, level in enumerate(levels(len(features)), start=1):
        below = following(scores.of(level.members), below, level.parents, scores.share(size))
        yield below.softmax(1)


def following(own: Tensor | None, below: Tensor | None, parents: Tensor, share: float) -> Tensor:
    """f_ms [m, K] of subsequences from f^s [m, K] (None beyond n_max), its share, and f_ms of all parents [p, K]."""
    if below is None:
        assert own is not None
        return own
    mean = functional.embedding_bag(parents, below, mode="mean")
    return mean if own is None else own.mul_(share).add_(mean, alpha=1 - share)


def relational_values(consensus: RelationalConsensus, features: Tensor, prior: Tensor) -> Shapley:
    """Exact Element Shapley Values of a clip of n <= 16 frames. features: [n, D]. prior: [K], f of no frames."""
    return shapley(relational_levels(consensus, features), prior, len(features))
