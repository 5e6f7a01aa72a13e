"""A wish for one compact shape (comprehensive study, Eq. 8-9)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def compactness(seeds: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """(max(M * K) / sum(K) - 1)^2 per mask, and its gradient.

    seeds: [N, T, h, w] in 0 .. 1; share: of the volume that the shape fills. Returns ([N], [N, T, h, w]).
    K is an ellipsoid of that volume in the clip's proportions, moved over the seeds: on the mask itself, 49 times as
    many positions would say the same. It takes all within half its extent of the centre; Eq. 9 as printed compares with
    the whole extent, which takes the box's corners in too. Divided by sum(K), so that the term does not grow with the
    clip.
    """
    kernel = ellipsoid(tuple(seeds.shape[1:]), share).to(seeds)
    sums = F.conv3d(seeds[:, None], kernel[None, None], padding=[n // 2 for n in kernel.shape])[:, 0]
    terms, gradients = [], []
    for one in sums:
        centre = torch.unravel_index(one.argmax(), one.shape)
        short = one[centre] / kernel.sum() - 1
        terms.append(short**2)
        gradients.append(_centred_at(kernel, centre, seeds[0]) * (2 * short / kernel.sum()))
    return torch.stack(terms), torch.stack(gradients)


def ellipsoid(size: tuple[int, ...], share: float) -> Tensor:
    """float32 0/1, odd extents: the ellipsoid that fills a share of a box of that size, cut off where it is larger.

    An axis of extent 1 does not count.
    """
    axes = sum(n > 1 for n in size)
    ball = {0: 1.0, 1: 1.0, 2: math.pi / 4, 3: math.pi / 6}[axes]
    scale = (share / ball) ** (1 / max(1, axes))
    radii = [max(0.5, scale * n / 2) if n > 1 else 0.5 for n in size]
    away = torch.zeros(())
    for n, radius in zip(size, radii, strict=True):
        reach = min(math.ceil(radius - 0.5), (n - 1) // 2 if n % 2 else n // 2)
        away = away[..., None] + (torch.arange(-reach, reach + 1) / radius) ** 2
    return (away <= 1).float()


def _centred_at(kernel: Tensor, centre: tuple[Tensor, ...], like: Tensor) -> Tensor:
    """Zeros like a mask with the kernel centred there; what would lie outside is left out."""
    result = torch.zeros_like(like)
    into, source = [], []
    for at, extent, n in zip(centre, kernel.shape, like.shape, strict=True):
        first = int(at) - extent // 2
        start, end = max(0, first), min(n, first + extent)
        into.append(slice(start, end))
        source.append(slice(start - first, end - first))
    result[tuple(into)] = kernel[tuple(source)]
    return result
