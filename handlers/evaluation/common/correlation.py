"""Correlations and structural similarity of two explanations."""

from __future__ import annotations

import torch
from torch import Tensor

from handlers.evaluation.measure import LeftOut


def pearson(first: Tensor, second: Tensor) -> float:
    """Pearson's correlation of two vectors [n], -1 .. 1. Raises LeftOut where one is constant."""
    pair = torch.stack([first.double(), second.double()])
    pair = pair - pair.mean(1, keepdim=True)
    sizes = pair.norm(dim=1)
    if not bool((sizes > 0).all()):
        raise LeftOut("all values are equal")
    return float((pair[0] / sizes[0]) @ (pair[1] / sizes[1]))
