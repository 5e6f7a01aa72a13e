"""From seeds to a mask: each pixel takes the smoothed maximum of the seeds around it (extremal perturbations, Fong et
al. 2019, which the comprehensive study builds on)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHARPNESS = 20.0
_REACH = 1.7
"""In sigmas: beyond it one full seed adds less than 0.03."""
_MOST_COLUMNS = 2**24
"""Numbers held at once on the way back, where one frame does not need more."""


class SmoothMax:
    """Raises seeds [N, h, w] to masks [N, height, width], step times finer; both within 0 .. 1.

    A seed at distance d counts k(d) = exp(-2 max(0, d / sigma - 1/2)^2), the authors' kernel. The maximum is smoothed
    by a logarithm of exponentials, m(u) = 1 + log(sum_i a_i(u) exp(b (s_i - 1))) / b, a_i(u) ~ exp(-b (1 - k)) with
    sum_i a_i(u) = 1: unlike the published mean weighted by exponentials it rises with every seed, and seeds that all
    have one value give that value everywhere, up to the border, for any size, step and sigma. It is one small
    convolution, and so is its gradient.
    """

    def __init__(self, height: int, width: int, step: int, sigma: float, like: Tensor) -> None:
        """step: pixels between seeds. sigma: pixels. like: gives dtype and device."""
        self.height, self.width, self.step = height, width, step
        self.grid = (-(-height // step), -(-width // step))
        # The grid is centred; the seeds lie in the middle of their cells.
        self._top, self._left = ((n * step - size) // 2 for n, size in zip(self.grid, (height, width), strict=True))
        self._radius = max(1, int((_REACH * sigma + (step - 1) / 2) / step))
        self._kernel = _kernel(step, sigma, self._radius).to(like)
        self._base = 1 - self._sums(torch.ones((1, *self.grid)).to(like)).log_().div_(SHARPNESS)

    def upsample(self, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """(masks, what `pull` needs)."""
        exponentials = torch.exp(SHARPNESS * (seeds - 1))
        sums = self._sums(exponentials)
        masks = torch.add(self._base, sums.log(), alpha=1 / SHARPNESS).clamp_(0, 1)
        return masks, sums

    def pull(self, gradient: Tensor, seeds: Tensor, sums: Tensor) -> Tensor:
        """The gradient at the seeds from that at the masks."""
        # torch's own pixel_unshuffle, and pixel_shuffle, take twice as long.
        phases = self._cells(gradient / sums).transpose(2, 3).flatten(3, 4).flatten(1, 2).transpose(1, 2)
        # The convolution's transpose; torch's own is four times slower for one channel.
        columns = self._kernel[0].numel() * phases[0, 0].numel()
        chunks = -(-len(phases) // max(1, _MOST_COLUMNS // columns))
        back = torch.cat([self._folded(part) for part in phases.chunk(chunks)])
        return back * torch.exp(SHARPNESS * (seeds - 1))

    def _folded(self, phases: Tensor) -> Tensor:
        columns = self._kernel.flatten(1).T @ phases
        return F.fold(columns, self.grid, self._kernel.shape[2:], padding=self._radius)[:, 0]

    def means(self, masks: Tensor) -> Tensor:
        """[N, height, width] -> [N, h, w]: the mean over the pixels of each seed's cell."""
        return self._cells(masks).sum((2, 4)) / self._cells(torch.ones_like(masks[:1])).sum((2, 4))

    def _cells(self, fine: Tensor) -> Tensor:
        """[N, height, width] -> [N, h, step, w, step], zeros around up to whole cells."""
        (rows, columns), step = self.grid, self.step
        right, below = columns * step - self.width - self._left, rows * step - self.height - self._top
        padded = F.pad(fine, (self._left, right, self._top, below)) if right or below else fine
        return padded.view(-1, rows, step, columns, step)

    def _sums(self, exponentials: Tensor) -> Tensor:
        phases = F.conv2d(exponentials[:, None], self._kernel, padding=self._radius)
        cells = phases.view(-1, self.step, self.step, *self.grid)
        fine = cells.permute(0, 3, 1, 4, 2).flatten(3, 4).flatten(1, 2)
        return fine[:, self._top : self._top + self.height, self._left : self._left + self.width]


def _kernel(step: int, sigma: float, radius: int) -> Tensor:
    """float64 [step * step, 1, taps, taps]: weight of each seed around, for each position of a pixel in its cell."""
    pixels = torch.arange(step, dtype=torch.float64) - (step - 1) / 2
    cells = torch.arange(-radius, radius + 1, dtype=torch.float64) * step
    offsets = (pixels[:, None] - cells[None]) ** 2
    distance = (offsets[:, None, :, None] + offsets[None, :, None, :]).sqrt()
    k = -2 * (distance / sigma - 0.5).clamp(min=0) ** 2
    # Relative to the nearest seed's, so that a sigma far below the step does not leave pixels without any weight.
    k = torch.exp(k - k.amax((2, 3), keepdim=True))
    return torch.exp(-SHARPNESS * (1 - k)).flatten(0, 1)[:, None]
