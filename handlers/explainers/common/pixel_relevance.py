"""Shared by the live methods: groups of items that one call answers, and maps at the pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, Quality, SaliencyVolume, Target
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


@dataclass(frozen=True)
class ItemGroup:
    """Items of a request that one call can answer: of different clips, and all with a contrast or all without.

    positions: of the items in the request. clips: their clips' positions in the batch. target, contrast: int64 [B]
    explained and contrasted classes over the whole batch, where clips that are not asked about count as class 0;
    contrast None: without.
    """

    positions: tuple[int, ...]
    clips: tuple[int, ...]
    target: Tensor
    contrast: Tensor | None


def attribute_groups(
    forward: Pass,
    items: Sequence[tuple[int, Target]],
    attribute: Callable[[ItemGroup], Iterable[Attribution]],
) -> list[Attribution]:
    """Explain all items, one call of `attribute` for each group; it answers in the order of the group's items."""
    found: dict[int, Attribution] = {}
    for group in item_groups(len(forward), items):
        found.update(zip(group.positions, attribute(group), strict=True))
    return [found[position] for position in range(len(items))]


def item_groups(batch: int, items: Sequence[tuple[int, Target]]) -> list[ItemGroup]:
    """The items of a batch of so many clips in as few groups as they fit in, in order."""
    groups: list[tuple[list[int], list[tuple[int, Target]]]] = []
    for position, (clip, target) in enumerate(items):
        for positions, members in groups:
            fits = (members[0][1].contrast is None) == (target.contrast is None)
            if fits and all(clip != other for other, _ in members):
                positions.append(position)
                members.append((clip, target))
                break
        else:
            groups.append(([position], [(clip, target)]))
    return [_group(batch, positions, members) for positions, members in groups]


def _group(batch: int, positions: Sequence[int], members: Sequence[tuple[int, Target]]) -> ItemGroup:
    explained = torch.zeros(batch, dtype=torch.int64)
    contrast = torch.zeros(batch, dtype=torch.int64)
    for clip, target in members:
        explained[clip] = target.index
        contrast[clip] = target.contrast or 0
    clips = tuple(clip for clip, _ in members)
    return ItemGroup(tuple(positions), clips, explained, None if members[0][1].contrast is None else contrast)


def refuse_contrast(items: Sequence[tuple[int, Target]], instead: str) -> None:
    """Raise RequestError (field "target.contrast") where an item of clrp has a contrast. instead: what would work."""
    if any(target.contrast is not None for _, target in items):
        raise RequestError(
            f"target.contrast: clrp contrasts the class with its own negation; {instead}",
            field="target.contrast",
            reason="CONTRAST_UNSUPPORTED",
        )
