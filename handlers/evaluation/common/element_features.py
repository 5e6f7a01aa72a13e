"""Features of a clip's elements, of models that look at frames or snippets one by one (Play Fair), and what they make
of only some of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from handlers.evaluation.measure import LeftOut
from handlers.evaluation.subject import Subject
from handlers.explainers.shapley import Shapley, average_levels, relational_levels, shapley
from handlers.models.action_model import ActionModel
from handlers.models.blocks.consensus import AverageConsensus, FrameModel, RelationalConsensus, frame_model

Kept = tuple[int, ...]
"""Rising positions of the elements that are left of a clip."""

MOST_EXACT = 16
"""Elements whose subsequences are all enumerated."""

NO_FEATURES = "the model mixes frames before it has features of single ones"


def network_of(model: ActionModel) -> FrameModel:
    """The model as one that takes any number of elements. Raises LeftOut where it is none."""
    network = frame_model(model.module)
    if network is None:
        raise LeftOut(NO_FEATURES)
    return network


def element_features(subject: Subject) -> Tensor:
    """float32 [n, D], n = ceil(T / snippet): one run of the network's backbone. Raises LeftOut where it has none."""
    with torch.no_grad():
        found: Tensor = network_of(subject.model).frame_features(subject.model.prepare([subject.clip]))[0]
    return found


def by_element(values: Tensor, snippet: int) -> Tensor:
    """Values of frames [T] summed over the elements, snippets of so many frames: [ceil(T / snippet)]."""
    element = torch.arange(len(values)) // snippet
    return torch.zeros(int(element[-1]) + 1, dtype=values.dtype).index_add(0, element, values)


def subsequence_logits(consensus: torch.nn.Module, features: Tensor, sets: Sequence[Kept]) -> Tensor:
    """Logits [m, K] of subsequences of one clip, those of one length together.

    consensus: from features [B, any number, D] to logits [B, K]. features: [n, D]. sets: of one element or more each.
    """
    found: dict[Kept, Tensor] = {}
    with torch.no_grad():
        for _, group in groupby(sorted(set(sets), key=len), key=len):
            alike = list(group)
            found.update(zip(alike, consensus(features[torch.tensor(alike)]), strict=True))
    return torch.stack([found[kept] for kept in sets])


def exact_shapley(consensus: torch.nn.Module, features: Tensor, empty: Tensor) -> Shapley:
    """Exact Element Shapley Values on softmax probabilities. features: [n, D]. empty: [K], class probabilities of no
    element. Raises LeftOut beyond 16 elements, or for another consensus than the mean (TSN) or relations (TRN)."""
    if len(features) > MOST_EXACT:
        raise LeftOut(f"exact Shapley values take {MOST_EXACT} elements at most, the clip has {len(features)}")
    with torch.no_grad():
        if isinstance(consensus, RelationalConsensus):
            return shapley(relational_levels(consensus, features), empty, len(features))
        if isinstance(consensus, AverageConsensus):
            return shapley(average_levels(consensus.classifier(features)), empty, len(features))
    raise LeftOut(NO_FEATURES)
