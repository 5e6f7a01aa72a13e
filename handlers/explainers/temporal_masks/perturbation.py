"""Freeze and reverse: what a mask does to the frames of a clip, as a matrix that mixes frames."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import torch
from torch import Tensor

_ACTIVE = 0.1
"""A frame takes part in a reversed run where its mask is above this."""


class Perturbation(StrEnum):
    """The ways to perturb a masked frame."""

    FREEZE = "freeze"
    REVERSE = "reverse"

    @property
    def mixing(self) -> Callable[[Tensor], Tensor]:
        """The function from a mask to its matrix."""
        return freeze if self is Perturbation.FREEZE else reverse

    @property
    def first(self) -> int:
        """The first frame that a mask can change: nothing comes before frame 0 to freeze it to."""
        return 1 if self is Perturbation.FREEZE else 0


def freeze(mask: Tensor) -> Tensor:
    """Frame t becomes (1 - m_t) x_t + m_t x'_(t-1), blended with the previous frame as perturbed; frame 0 stays.

    mask: float [..., T] in 0 .. 1. Returns M, float [..., T, T], with x'_t = sum_s M_ts x_s:
    M_ts = (1 - m_s) m_(s+1) ... m_t for s <= t, as if m_0 were 0. Differentiable in the mask.
    """
    frames = mask.shape[-1]
    later = torch.ones(frames, frames, dtype=torch.bool, device=mask.device).tril(-1)  # [t, s]: t > s
    carried = torch.where(later, mask[..., :, None], 1.0).cumprod(-2)
    own = torch.cat([torch.ones_like(mask[..., :1]), 1 - mask[..., 1:]], -1)
    return (carried * own[..., None, :]).tril()


def reverse(mask: Tensor) -> Tensor:
    """Each frame of a contiguous run with masks above 0.1 blends with its mirror image in the run.

    mask: float [..., T] in 0 .. 1. Returns float [..., T, T] as `freeze` does: x'_t = (1 - m_t) x_t + m_t x_(a+b-t) in
    a run from a to b. The paper leaves open how a mask between 0 and 1 reverses; here each frame blends by its own.
    """
    rows = mask.reshape(-1, mask.shape[-1])
    mirrors = torch.stack([_mirror(row) for row in rows]).reshape(mask.shape)
    eye = torch.eye(mask.shape[-1], dtype=mask.dtype, device=mask.device)
    return (1 - mask)[..., None] * eye + mask[..., None] * eye[mirrors]


def _mirror(mask: Tensor) -> Tensor:
    """int64 [T]: the frame that takes each frame's place when its run is reversed."""
    mirror = list(range(len(mask)))
    start = 0
    for frame, active in enumerate([*(mask > _ACTIVE).tolist(), False]):
        if not active:
            mirror[start:frame] = reversed(mirror[start:frame])
            start = frame + 1
    return torch.tensor(mirror, device=mask.device)
