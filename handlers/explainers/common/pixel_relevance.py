"""Shared by the live methods: groups of items that one call answers, and maps at the pixels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, Quality, SaliencyVolume, Target
from handlers.explainers.explainer import Parameters
from handlers.models.action_model import ActionModel
from handlers.relevance import AddRule, NormRule, Pass, Program


class PropagationParameters(Parameters):
    """Rules of relevance propagation that the papers leave open."""

    norm: Annotated[
        Literal["identity", "fold"],
        Field(description="batch norm: identity passes relevance; fold counts it as part of its convolution"),
    ] = "identity"
    add: Annotated[
        Literal["proportional", "positive"],
        Field(description="sums share relevance by the values of their terms, or by their positive parts"),
    ] = "proportional"

    @property
    def norm_rule(self) -> NormRule | None:
        """For `relevance`; None for the identity, with which models are traced."""
        return NormRule.FOLD if self.norm == "fold" else None

    @property
    def add_rule(self) -> AddRule | None:
        """For `relevance`; None for sharing by values, with which models are traced."""
        return AddRule.POSITIVE if self.add == "positive" else None


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
    refused: Mapping[int, RequestError] | None = None,
) -> list[Attribution | RequestError]:
    """Explain all items, one call of `attribute` for each group; it answers in the order of the group's items.

    refused: by position, the errors of items that are in no group.
    """
    found: dict[int, Attribution | RequestError] = dict(refused or {})
    for group in item_groups(len(forward), items, found.keys()):
        found.update(zip(group.positions, attribute(group), strict=True))
    return [found[position] for position in range(len(items))]


def item_groups(batch: int, items: Sequence[tuple[int, Target]], without: Collection[int] = ()) -> list[ItemGroup]:
    """The items of a batch of so many clips in as few groups as they fit in, in order. without: positions left out."""
    groups: list[tuple[list[int], list[tuple[int, Target]]]] = []
    for position, (clip, target) in enumerate(items):
        if position in without:
            continue
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


def refused_contrasts(items: Sequence[tuple[int, Target]], why: str) -> dict[int, RequestError]:
    """By position, an error (field "target.contrast") for every item that has a contrast. why: and what would work."""
    return {
        position: RequestError(f"target.contrast: {why}", field="target.contrast", reason="CONTRAST_UNSUPPORTED")
        for position, (_, target) in enumerate(items)
        if target.contrast is not None
    }


OWN_NEGATION = "clrp contrasts the class with its own negation"
"""Why CLRP takes no second class."""
