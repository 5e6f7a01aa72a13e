"""Correlations and structural similarity of two explanations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from handlers.evaluation.measure import LeftOut


def pearson(first: Tensor, second: Tensor) -> float:
    """Pearson's correlation of two vectors [n], -1 .. 1. Raises LeftOut where one is constant."""
    pair = torch.stack([first.double(), second.double()])
    lengths = pair.norm(dim=1)
    pair = pair - pair.mean(1, keepdim=True)
    sizes = pair.norm(dim=1)
    # What rounding leaves of equal values is no variation.
    if not bool((sizes > 1e-9 * lengths).all()):
        raise LeftOut("all values are equal")
    return float((pair[0] / sizes[0]) @ (pair[1] / sizes[1]))


def structural_similarity(first: Tensor, second: Tensor, window: int = 7) -> float:
    """SSIM of two maps of sizes, the mean over windows and frames (Wang et al. 2004, Eq. 13), -1 .. 1; 1: the same.

    first, second: float [..., H, W] >= 0, each divided by its largest value here, so that L = 1. window: its height and
    width in positions, at most those of the map; all alike weighted. Raises LeftOut where a map is 0 everywhere.
    """
    pair = torch.stack([first, second]).double().view(2, -1, *first.shape[-2:])
    largest = pair.flatten(1).amax(1)
    if not bool((largest > 0).all()):
        raise LeftOut("a map is 0 everywhere")
    x, y = pair / largest.view(2, 1, 1, 1)
    size = (min(window, x.shape[1]), min(window, x.shape[2]))
    products = torch.stack([x, y, x * x, y * y, x * y])
    mean_x, mean_y, xx, yy, xy = functional.avg_pool2d(products, size, stride=1)
    likeness = (2 * mean_x * mean_y + 0.01**2) * (2 * (xy - mean_x * mean_y) + 0.03**2)
    limit = (mean_x**2 + mean_y**2 + 0.01**2) * (xx - mean_x**2 + yy - mean_y**2 + 0.03**2)
    return float((likeness / limit).mean())
