"""Maps of relevance as one value per voxel of the clip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from handlers.evaluation.measure import LeftOut
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, SaliencyVolume


def to_voxels(values: Tensor, size: Sequence[int]) -> Tensor:
    """A map resized to a clip, trilinear, align_corners=False.

    values: float [T', H', W'] on any grid. size: (T, H, W) of the clip. Returns float32 [T, H, W].
    """
    values = values.float()
    if tuple(values.shape) == tuple(size):
        return values
    return functional.interpolate(values[None, None], size=tuple(size), mode="trilinear", align_corners=False)[0, 0]


def native_map(attribution: Attribution) -> Tensor:
    """The signed map on the grid that it was made on, float32 [T', H', W']; 0 where a selective mask keeps nothing.

    Raises LeftOut where the explanation has no map, says itself that it means nothing, or is not finite.
    """
    if not isinstance(attribution, SaliencyVolume):
        raise LeftOut("the method explains frames, not voxels")
    if attribution.undefined:
        raise LeftOut(f"the explanation is not defined: {attribution.undefined}")
    if not bool(attribution.values.isfinite().all()):
        raise LeftOut("the explanation has values that are not finite")
    values = attribution.values.float()
    return values if attribution.mask is None else torch.where(attribution.mask, values, 0.0)


def voxel_map(subject: Subject, attribution: Attribution, *, signed: bool = False) -> Tensor:
    """The map on the voxels of the clip, float32 [T, H, W]: resized, positive part unless `signed`, 0 in the padding.

    What is ranked or counted is to be taken of `subject.seen` alone: a 0 of the padding is no value. Raises LeftOut as
    `native_map` does.
    """
    values = to_voxels(native_map(attribution), subject.shape)
    return (values if signed else values.clamp(min=0)) * subject.seen
