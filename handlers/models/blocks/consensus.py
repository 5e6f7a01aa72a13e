"""From the features of single frames to the logits of a sequence of them, of any length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, reduce
from itertools import combinations

import torch
from torch import Tensor, nn

from handlers.relevance import Whole

EXACT = 16
"""Up to so many frames a relational model looks at every subsequence of every scale."""

SAMPLED = 1024
"""Of longer clips it looks at so many subsequences of every scale."""


class FrameModel(nn.Module):
    """A model that looks at frames one by one and then at what was found, in the order of the frames.

    Subclasses set `consensus`, which maps features [B, T, D] to logits [B, K].
    """

    consensus: nn.Module
    snippet = 1
    """Frames that it looks at together."""
    called = "snippet"
    """What so many frames are to people."""

    def frame_features(self, clips: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to [B, ceil(T / snippet), D]: each snippet's features, which no other frame touches."""
        raise NotImplementedError

    def forward(self, clips: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to logits [B, K]; any T that the consensus takes."""
        logits: Tensor = self.consensus(self.frame_features(clips))
        return logits


def frame_model(module: nn.Module) -> FrameModel | None:
    """The module as such a model whose consensus takes any number of frames, or None when it is none."""
    if isinstance(module, FrameModel) and isinstance(module.consensus, AverageConsensus | RelationalConsensus):
        return module
    return None


class AverageConsensus(nn.Module):
    """TSN: the mean over the frames of a classifier's logits.

    classifier: linear, from D features to K logits; the identity where features are logits.
    """

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, features: Tensor) -> Tensor:
        """[B, T, D] to [B, K]; the mean goes first, which is the same and cheaper."""
        logits: Tensor = self.classifier(features.mean(1))
        return logits


class Relation(nn.Module):
    """One scale of a relational model: a network with one hidden layer on the features of so many frames in order.

    width: D of one frame. hidden: units. scale: frames.
    """

    def __init__(self, width: int, hidden: int, classes: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.first = nn.Linear(scale * width, hidden)
        self.last = nn.Linear(hidden, classes)

    def table(self, features: Tensor) -> Tensor:
        """[B, T, D] to [scale, B, T - scale + 1, hidden]: what a frame adds to the hidden units when it stands in a
        slot, from the first frame that can stand there to the last. Each slot brings its part of the bias.

        A subsequence's hidden units, before the rectifier, are the sum over its slots.
        """
        hidden, (clips, frames, width) = self.first.out_features, features.shape
        starts = frames - self.scale + 1
        windows = features.unfold(1, starts, 1).permute(1, 0, 3, 2).flatten(1, 2)
        # A view: copying the weights into the order of the slots would cost more than the products.
        slots = self.first.weight.view(hidden, self.scale, width).permute(1, 2, 0)
        return torch.baddbmm(self.first.bias / self.scale, windows, slots).view(self.scale, clips, starts, hidden)

    def forward(self, frames: Tensor) -> Tensor:
        """[..., scale * D] to logits [..., K]."""
        logits: Tensor = self.last(torch.relu(self.first(frames)))
        return logits


class RelationalConsensus(Whole):
    """Multi-scale TRN (Play Fair, Eq. 8): over the scales, the mean over all subsequences of so many frames.

    scales: n_max; scales longer than the clip are left out, and the others count for them too. width, hidden: see
    Relation. fewest: the shortest scale, 1 or 2; where it is 2, a single frame is compared with itself. votes: what
    each scale counts in the sum over all of them, the shortest first; none: all alike, so that the sum is their mean.
    longest_first: the order of the parameters.
    """

    axes = 2
    no_rule = "it compares subsequences of every length; esv and grad-cam explain such a model"

    def __init__(
        self,
        width: int,
        hidden: int,
        classes: int,
        scales: int,
        fewest: int = 1,
        votes: Sequence[float] = (),
        longest_first: bool = False,
    ) -> None:
        super().__init__()
        if fewest not in (1, 2) or scales < fewest:
            raise ValueError(f"scales: {fewest} to {scales} are no scales; the shortest is 1 or 2")
        lengths = range(fewest, scales + 1)
        ordered = reversed(lengths) if longest_first else lengths
        self.relations = nn.ModuleList(Relation(width, hidden, classes, scale) for scale in ordered)
        self.fewest = fewest
        self.votes = tuple(votes) or (1 / len(lengths),) * len(lengths)
        if len(self.votes) != len(lengths):
            raise ValueError(f"votes: {len(self.votes)} for {len(lengths)} scales")

    def used(self, frames: int) -> list[Relation]:
        """The scales that a clip of so many frames has, the shortest first."""
        relations = [relation for relation in self.relations if isinstance(relation, Relation)]
        relations.sort(key=lambda relation: relation.scale)
        return relations[: self._count(frames)]

    @property
    def total(self) -> float:
        """The sum of all scales' votes."""
        return sum(self.votes)

    def share(self, frames: int) -> float:
        """The part of the longest of `used(frames)` in what they all count together."""
        votes = self.votes[: self._count(frames)]
        return votes[-1] / sum(votes)

    def _count(self, frames: int) -> int:
        """How many scales a clip of so many frames has, or more where it has all."""
        return max(frames - self.fewest, 0) + 1

    def forward(self, features: Tensor) -> Tensor:
        """[B, T, D] to [B, K], any T >= 1."""
        features = self.held(features)
        frames = features.shape[1]
        used = self.used(frames)
        means = []
        for relation in used:
            chosen = subsequences(frames, relation.scale).to(features.device)
            table = relation.table(features)
            hidden = reduce(torch.add, (table[slot][:, chosen[:, slot] - slot] for slot in range(relation.scale)))
            means.append(relation.last(torch.relu(hidden).mean(1)))
        scale = self.total / sum(self.votes[: len(used)])
        return torch.stack([vote * scale * mean for vote, mean in zip(self.votes, means, strict=False)]).sum(0)

    def held(self, frames: Tensor) -> Tensor:
        """A single one of [B, T] or [B, T, ...] as often as the shortest scale takes; more of them as they are."""
        return frames if frames.shape[1] >= self.fewest else torch.cat([frames] * self.fewest, 1)


@cache
@torch.inference_mode(False)  # what the cache keeps must serve training and gradients too
def subsequences(frames: int, scale: int) -> Tensor:
    """int64 [n, scale]: the positions, rising, of the frames of every subsequence of so many frames.

    Beyond EXACT frames at most SAMPLED of them, always the same ones, so that a clip's logits never change.
    """
    count = math.comb(frames, scale)
    if frames <= EXACT or count <= SAMPLED:
        return torch.tensor(list(combinations(range(frames), scale)))
    generator = torch.Generator().manual_seed(frames * 1000 + scale)
    drawn = torch.rand(SAMPLED, frames, generator=generator).topk(scale, dim=1).indices
    return drawn.sort(dim=1).values
