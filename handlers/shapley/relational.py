"""The value of every subsequence to a multi-scale relational model, in one recursion over the scales."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from handlers.models.consensus import Relation, RelationalConsensus
from handlers.shapley.exact import Shapley, shapley
from handlers.shapley.subsets import levels

LANES = 16
"""Large matrix products are up to 1.4 times as fast when a row's length is a multiple of so many numbers."""

WIDE = 12
"""From so many frames on the products are large enough to repay the copy of the weights."""


class Scores:
    """What the scales of a model say about subsequences of one clip. features: [n, D]."""

    def __init__(self, consensus: RelationalConsensus, features: Tensor) -> None:
        relations = consensus.used(len(features))
        self.classes = relations[0].last.out_features
        self._consensus, self._frames, self._most = consensus, len(features), relations[-1].scale
        self._tables = {relation.scale: _table(relation, features) for relation in relations}
        self._lasts = {relation.scale: _last(relation, len(features), consensus.total) for relation in relations}

    def share(self, size: int) -> float:
        """The part of f^s in f_ms of subsequences of s = size frames: 1 / s where all scales count alike, 0 beyond
        n_max."""
        return self._consensus.share(size) if size <= self._most else 0.0

    def of(self, rows: Tensor) -> Tensor | None:
        """Logits of f^s, as all scales together count, for subsequences of s frames: [m, `classes` or more], what is
        more says nothing; None beyond n_max.

        rows: int64 [m, s], slot * n + position of each frame. The first layer is a look-up: the sum over the slots of
        what a slot's frame adds to the hidden units.
        """
        if rows.shape[1] > self._most:
            return None
        if rows.shape[1] not in self._tables:  # a frame alone is compared with itself
            rows = torch.cat((rows, rows + self._frames), 1)
        scale = rows.shape[1]
        hidden = functional.embedding_bag(rows, self._tables[scale], mode="sum").relu_()
        return functional.linear(hidden, *self._lasts[scale])


def _table(relation: Relation, features: Tensor) -> Tensor:
    """[scale * n, hidden]; the bias counts once, in the first slot."""
    table = relation.table(features[None])[:, 0]
    table[0].add_(relation.first.bias)
    return table.flatten(0, 1)


def _last(relation: Relation, frames: int, times: float) -> tuple[Tensor, Tensor]:
    """Weight and bias of the last layer, so many times, for many subsequences with outputs of 0 added up to a multiple
    of LANES."""
    last = relation.last
    weight, bias = (last.weight, last.bias) if times == 1 else (last.weight * times, last.bias * times)
    if frames < WIDE:
        return weight, bias
    missing = -last.out_features % LANES
    return functional.pad(weight, (0, 0, 0, missing)), functional.pad(bias, (0, missing))


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
        below = following(scores.of(level.rows), below, level.parents, scores.share(size))
        yield below[:, : scores.classes].softmax(1)


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
