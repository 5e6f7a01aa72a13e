"""Smoothing masks in time (comprehensive study, Eq. 7)."""

from __future__ import annotations

import torch
from torch import Tensor


class TimeFilter:
    """Each frame's mask becomes a mean over reach frames before and after it, weighted exp(-u^2 / (0.6 reach)).

    Weights sum to one over the frames that exist, so a constant mask stays what it is.
    """

    def __init__(self, frames: int, reach: float, like: Tensor) -> None:
        """reach: sigma = dt of Eq. 7, in frames, > 0. like: gives dtype and device."""
        times = torch.arange(frames, dtype=torch.float64)
        apart = (times[:, None] - times).abs()
        weights = torch.exp(-(apart**2) / (0.6 * reach)) * (apart <= reach)
        self._weights = (weights / weights.sum(1, keepdim=True)).to(like)

    def apply(self, masks: Tensor) -> Tensor:
        """[N, T, H, W] -> the same shape."""
        return torch.einsum("st,nthw->nshw", self._weights, masks)

    def pull(self, gradient: Tensor) -> Tensor:
        """The transpose of `apply`."""
        return torch.einsum("st,nshw->nthw", self._weights, gradient)
