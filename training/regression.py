"""The last layers of a temporal relation network in closed form: what stands before them stays as it is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from handlers.models.consensus import Relation, RelationalConsensus, subsequences

_SHRINKING = 100.0
"""What is added to the diagonal of the products of the hidden units, each of spread 1."""
_STEEPNESS = (2.0, 4.0, 8.0, 16.0)


@torch.inference_mode()
def hidden_means(relation: Relation, features: Tensor) -> Tensor:
    """[N, hidden]: the mean over all subsequences of a scale's hidden units, which its last layer reads.

    features: [N, T, D].
    """
    found = []
    for first in range(0, len(features), 100):
        part = features[first : first + 100]
        chosen, table = subsequences(features.shape[1], relation.scale), relation.table(part)
        slots = [table[slot][:, chosen[:, slot]] for slot in range(relation.scale)]
        found.append(torch.relu(torch.stack(slots).sum(0) + relation.first.bias).mean(1))
    return torch.cat(found).clone()


@torch.no_grad()
def fit_last_layers(consensus: RelationalConsensus, features: Tensor, labels: Tensor) -> None:
    """Set every scale's last layer by ridge regression on the classes.

    Each scale by itself: fitted together they would lean on each other, and a few of a clip's frames, which only the
    small scales see, would get no sensible answer. features: [N, T, D]; labels: int64 [N].
    """
    for relation in consensus.used(features.shape[1]):
        seen = hidden_means(relation, features)
        mean, spread = seen.mean(0), seen.std(0) + 1e-3
        normed = (seen - mean) / spread
        wanted = functional.one_hot(labels).to(normed)
        share = wanted.mean(0)
        products = normed.T @ normed + _SHRINKING * torch.eye(normed.shape[1])
        weights = torch.linalg.solve(products, normed.T @ (wanted - share)) / spread[:, None]
        bias = share - mean @ weights
        scores = seen @ weights + bias
        losses = [float(functional.cross_entropy(scores * steepness, labels)) for steepness in _STEEPNESS]
        steepness = _STEEPNESS[int(np.argmin(losses))]
        relation.last.weight.copy_(steepness * weights.T)
        relation.last.bias.copy_(steepness * bias)
