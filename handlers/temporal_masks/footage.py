"""A clip whose frames can be mixed."""

from __future__ import annotations

import torch
from torch import Tensor


class Footage:
    """One prepared clip as rows of frames."""

    def __init__(self, clip: Tensor) -> None:
        """clip: float [1, C, T, H, W]; channels last in memory, as the model prepares it, is used without a copy."""
        by_frame = clip[0].permute(1, 2, 3, 0)
        self._shape = by_frame.shape
        self._rows = by_frame.reshape(len(by_frame), -1)

    @property
    def frames(self) -> int:
        """T."""
        return len(self._rows)

    @property
    def batch(self) -> int:
        """How many versions of the clip to run at once: small clips together, large ones alone."""
        return max(1, min(8, 2**22 // self._rows.numel()))

    def mixed(self, mixing: Tensor) -> Tensor:
        """Clips [B, C, T, H, W], channels last in memory, whose frames are sums of this clip's.

        mixing: float [B, T, T]; its gradient flows.
        """
        rows = torch.matmul(mixing.to(self._rows.dtype), self._rows)
        return rows.reshape(len(mixing), *self._shape).permute(0, 4, 1, 2, 3)
