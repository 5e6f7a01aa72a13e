"""The values that explainers return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Target:
    """The class that is explained and, for "why this and not that", the class it is contrasted with."""

    index: int
    contrast: int | None = None


@dataclass(frozen=True)
class Quality:
    """Numbers that say how far to trust an explanation; None: not computed."""

    selected_positions: float | None = None
    motion_share: float | None = None
    conservation_defect: float | None = None


@dataclass(frozen=True)
class Curve:
    """A series of numbers over `x_name`: "iteration", "frames discarded". unit: of y, "probability"; empty: none."""

    name: str
    x_name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    unit: str = ""


@dataclass(frozen=True)
class Details:
    """An explanation beside its values: series, notes for the reader ("freezing changes nothing"),
    single numbers by name, further float or uint8 arrays by name. used: parameters that were left out and that the clip
    decided, by name."""

    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    used: Mapping[str, bool | int] = field(default_factory=dict)


@dataclass(frozen=True)
class SaliencyVolume:
    """Relevance over time and space on the grid of a layer.

    values: float32 [T', H', W']. mask: bool [T', H', W'] of what a selective method keeps, or None.
    frame_positions: the model frame at the centre of each of the T' steps. layer: empty for input resolution.
    undefined: why the values mean nothing; empty where they do.
    """

    values: Tensor
    frame_positions: tuple[float, ...]
    layer: str = ""
    signed: bool = False
    mask: Tensor | None = None
    undefined: str = ""
    quality: Quality = field(default_factory=Quality)
    details: Details = field(default_factory=Details)


@dataclass(frozen=True)
class RelevanceMatrix:
    """How much model frame j contributes to output time step i.

    values: float32 [T', N], or sums over blocks of frames, which the lengths count then. row_logits: float32 [T'] of
    the target, less the contrast class's where there is one. row_lengths: frames of the shortest window around each
    row's frame that holds its share of relevance. The two lengths are None, with the reason in `undefined`, when no row
    has a positive logit, and for contrasts that are not rectified.
    """

    values: Tensor
    frame_positions: tuple[float, ...]
    row_logits: Tensor
    row_lengths: tuple[int, ...]
    average_length: float | None
    maximum_length: float | None
    undefined: str = ""
    quality: Quality = field(default_factory=Quality)
    details: Details = field(default_factory=Details)


@dataclass(frozen=True)
class FrameAttribution:
    """One number per model frame: float32 [N], or [N, K] for all classes.

    unit: of the values, "probability", "log-probability" or "logit"; empty: they have none.
    """

    values: Tensor
    unit: str = ""
    quality: Quality = field(default_factory=Quality)
    details: Details = field(default_factory=Details)


Attribution = SaliencyVolume | RelevanceMatrix | FrameAttribution


def as_used(parameters: Mapping[str, Any], result: Attribution | None) -> Mapping[str, Any]:
    """Parameters with those that the result says were used where they were left out."""
    used = {} if result is None else result.details.used
    return {name: used.get(name) if value is None else value for name, value in parameters.items()}
