"""A clip in several strengths of perturbation, and in between."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Pyramid:
    """Levels of a clip from wholly perturbed (mask 0) to as it is (mask 1), linear in between.

    Each pair of neighbouring levels is kept side by side, pixel by pixel, so that one look-up gives the perturbed clip
    and its derivative by the mask.
    """

    def __init__(self, levels: Tensor) -> None:
        """levels: [L, C, T, H, W], L >= 2, the most perturbed first."""
        self.shape = levels.shape[1:]
        rows = levels.permute(2, 3, 4, 0, 1)
        self._steps = levels.shape[0] - 1
        self._table = torch.cat((rows[..., :-1, :], rows[..., 1:, :] - rows[..., :-1, :]), -1).flatten(0, 3)
        self._first = torch.arange(0, len(self._table), self._steps, device=levels.device)

    def apply(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        """masks [N, T, H, W] in 0 .. 1 -> (clips, their derivatives by the mask), each [N, C, T, H, W], channels last
        in memory."""
        scaled = (masks * self._steps).flatten(1)
        lower = scaled.long().clamp_(max=self._steps - 1)
        found = self._table.index_select(0, (lower + self._first).flatten())
        channels = self.shape[0]
        slopes = found[:, channels:]
        clips = torch.addcmul(found[:, :channels], (scaled - lower).view(-1, 1), slopes)
        return self._as_clips(clips, len(masks)), self._as_clips(slopes * self._steps, len(masks))

    def _as_clips(self, rows: Tensor, count: int) -> Tensor:
        channels, *space = self.shape
        return rows.view(count, *space, channels).permute(0, 4, 1, 2, 3)


def blurred(clip: Tensor, sigma: float, levels: int) -> Pyramid:
    """Gaussian blur of every frame, from sigma (pixels) at mask 0 in even steps to none at mask 1.

    clip: [C, T, H, W], any floating-point dtype. Borders repeat the edge's pixels.
    """
    sigmas = [sigma * (1 - level / (levels - 1)) for level in range(levels)]
    return Pyramid(torch.stack([smoothed(clip, one) for one in sigmas]))


def faded(clip: Tensor, black: Tensor) -> Pyramid:
    """Fade to black. clip: [C, T, H, W]; black: [C], as the network sees it."""
    return Pyramid(torch.stack((black.to(clip).view(-1, 1, 1, 1).expand_as(clip), clip)))


def smoothed(clip: Tensor, sigma: float) -> Tensor:
    """[C, T, H, W], every frame blurred by a Gaussian of sigma pixels. Borders repeat the edge's pixels."""
    if sigma <= 0:
        return clip
    for axis in (2, 3):
        clip = torch.einsum("ij,...j->...i", _matrix(clip.shape[axis], sigma).to(clip), clip.movedim(axis, -1)).movedim(
            -1, axis
        )
    return clip


def _matrix(size: int, sigma: float) -> Tensor:
    """float64 [size, size]: the Gaussian filter of one axis as a matrix; what lies outside is the edge's pixel."""
    reach = math.ceil(3 * sigma)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    indices = (torch.arange(size)[:, None] + offsets.long()).clamp(0, size - 1)
    return torch.zeros((size, size), dtype=torch.float64).scatter_add_(
        1, indices, (weights / weights.sum()).expand(size, -1)
    )
