"""What the methods that end at the pixels share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from handlers.explainers.attribution import Quality, SaliencyVolume, Target
from handlers.models.action_model import ActionModel
from handlers.relevance import Pass, Program

# Rounding and zB leave specks of the other sign in maps that are one-signed by construction.
_SPECKS = 0.01


def pixel_map(values: Tensor, defect: float | None = None) -> SaliencyVolume:
    """A map at input resolution from float [C, T, H, W]: channels summed."""
    summed = values.sum(0)
    signed = bool(summed.clamp(max=0).abs().sum() > _SPECKS * summed.abs().sum())
    positions = tuple(float(frame) for frame in range(summed.shape[0]))
    return SaliencyVolume(summed, positions, signed=signed, quality=Quality(conservation_defect=defect))


def no_rectifiers(model: ActionModel) -> str | None:
    """Why gradients cannot be guided, or None when they can."""
    guided = not isinstance(model.program, Program) or model.program.rectifies
    return None if guided else "it has no rectifiers: guided gradients would be plain ones"


def by_contrast(items: Sequence[tuple[int, Target]]) -> list[tuple[list[int], list[tuple[int, Target]]]]:
    """Items that one call can answer: (their places in the request, themselves).

    Together may be items of different clips that all have a contrast or all have none.
    """
    groups: list[tuple[list[int], list[tuple[int, Target]]]] = []
    for place, (index, target) in enumerate(items):
        for places, members in groups:
            fits = (members[0][1].contrast is None) == (target.contrast is None)
            if fits and all(index != other for other, _ in members):
                places.append(place)
                members.append((index, target))
                break
        else:
            groups.append(([place], [(index, target)]))
    return groups


def class_numbers(forward: Pass, members: Sequence[tuple[int, Target]]) -> tuple[Tensor, Tensor | None]:
    """[B] explained and contrasted classes over the whole batch; clips that are not asked about count as class 0."""
    explained = torch.zeros(len(forward), dtype=torch.int64)
    contrast = torch.zeros(len(forward), dtype=torch.int64)
    for index, target in members:
        explained[index] = target.index
        contrast[index] = target.contrast or 0
    return explained, None if members[0][1].contrast is None else contrast
