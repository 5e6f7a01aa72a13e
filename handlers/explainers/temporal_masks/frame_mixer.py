"""A clip whose frames can be mixed, or only put in each other's place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class FrameMixer:
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


class FramePicker(FrameMixer):
    """One clip as whole frames, for networks that are shown the motion between frames.

    A mixture of what they are shown is not what a mixed clip would show, so frames only take each other's place.
    """

    def __init__(self, pixels: NDArray[np.uint8], prepare: Callable[[Sequence[NDArray[np.uint8]]], Tensor]) -> None:
        """pixels: uint8 [T, H, W, 3]. prepare: from such clips to [B, C, T, H, W], as the network takes them."""
        super().__init__(prepare([pixels]))
        self._pixels, self._prepare = pixels, prepare

    def mixed(self, mixing: Tensor) -> Tensor:
        """Clips [B, C, T, H, W]. mixing: float [B, T, T], one 1 in every row and 0 elsewhere, as masks of 0 and 1 have
        it; no gradient flows."""
        return self._prepare([self._pixels[rows.argmax(1).numpy()] for rows in mixing])
