"""Selective relevance (selective-relevance paper, sections 3-4): the part of a relevance map that moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, Quality, SaliencyVolume, Target
from handlers.explainers.explainer import Explainer, Parameters
from handlers.explainers.method_registry import explainer
from handlers.models.action_model import ActionModel
from handlers.relevance import Pass


class SelectiveParameters(Parameters):
    """Parameters of selective relevance."""

    threshold: Annotated[float, Field(ge=0, le=100, description="n of |dR/dt| > n * std(dR/dt)")] = 4.0
    signed: Annotated[bool, Field(description="keep rises only, the equation as printed")] = False
    peer: Annotated[
        bool, Field(description="as the published code: zero padding, threshold * std(|dR/dt|), unbiased")
    ] = False
    base: Annotated[str | None, Field(description="the method that makes the map; dtd, or grad-cam, if left out")] = (
        None
    )
    upsample: Annotated[
        bool | None,
        Field(description="resize the map to the clip first; when left out, maps coarser than 14 x 14"),
    ] = None


def time_derivative(relevance: Tensor, *, zero_padding: bool = False) -> Tensor:
    """3-D Sobel derivative along time: [-1, 0, 1] in t, [1, 2, 1] in y and in x; one after the other.

    relevance: float [T, H, W]; same shape back. Borders repeat the edge; zero_padding pads zeros instead, as the
    authors' published code does, which makes the first and the last frame of a constant map look like motion.
    """
    mode = "constant" if zero_padding else "replicate"
    padded = functional.pad(relevance[None], (1, 1, 1, 1, 1, 1), mode=mode)[0]
    in_time = padded[2:] - padded[:-2]
    in_rows = in_time[:, 2:] + 2 * in_time[:, 1:-1] + in_time[:, :-2]
    return in_rows[..., 2:] + 2 * in_rows[..., 1:-1] + in_rows[..., :-2]


def motion_mask(relevance: Tensor, threshold: float = 4.0, *, signed: bool = False, peer: bool = False) -> Tensor:
    """Where the relevance changes in time: |G_t| > threshold * std(G_t), std over the clip.

    relevance: float [T, H, W]; bool [T, H, W] back. signed: G_t > threshold * std(G_t), the equation as printed.
    A map that does not change in time selects nothing. peer: as the published code does it, |G_t| > threshold *
    std(|G_t|), the unbiased estimate, with zeros around the map; so ends of a constant map are selected.
    """
    derivative = time_derivative(relevance, zero_padding=peer)
    if peer:
        return (derivative if signed else derivative.abs()) > threshold * derivative.abs().std()
    bound = threshold * derivative.std(correction=0)
    # Rounding makes G_t of a constant map tiny but not zero; a change below a float's resolution is no change.
    bound = torch.maximum(bound, relevance.abs().max() * 16 * torch.finfo(relevance.dtype).eps)
    return (derivative if signed else derivative.abs()) > bound


def upsampled(values: Tensor, positions: Sequence[float], size: Sequence[int]) -> Tensor:
    """A map resized to a clip, linearly along all three axes.

    values: float [T', H', W']. positions: [T'] the frames at which its steps lie, rising; before the first and after
    the last one it stays as it is there. size: (T, H, W) of the clip, and of the map that comes back.
    """
    frames, height, width = size
    within = functional.interpolate(values[:, None], size=(height, width), mode="bilinear", align_corners=False)[:, 0]
    shares = [np.interp(np.arange(frames), positions, own) for own in np.eye(len(positions))]
    weights = torch.from_numpy(np.stack(shares, 1)).to(values)
    return (weights @ within.flatten(1)).reshape(frames, height, width)


def selectivity(relevance: Tensor, mask: Tensor) -> tuple[float | None, float | None]:
    """The two selectivity numbers: share of the positive positions kept, share of the positive relevance kept.

    The second is the motion share: how much of the decision moves. Both are None when nothing is
    positive: there is nothing to have a share of.
    """
    positive = relevance > 0
    count, mass = positive.sum(), relevance[positive].sum()
    if count == 0:
        return None, None
    kept = positive & mask
    return float(kept.sum() / count), float(relevance[kept].sum() / mass)


# What makes the map when the request does not say: the first that explains the model.
_BASES = ("dtd", "grad-cam")
_COARSE = 14
"""Maps with fewer rows or columns are resized before the derivative: on their own grid a step is a jump."""


def finer(volume: SaliencyVolume, size: Sequence[int], wanted: bool | None) -> SaliencyVolume:
    """The map resized to the clip, (T, H, W), where that is wanted, as the paper has its Grad-CAM; None: where it is
    coarse. A map of the clip's own resolution stays as it is."""
    rows, columns = volume.values.shape[1:]
    if not (min(rows, columns) < _COARSE if wanted is None else wanted) or not volume.layer:
        return replace(volume, details=replace(volume.details, used={"upsample": False}))
    note = f"the map of {rows} x {columns} was resized to {size[1]} x {size[2]} before its derivative was taken"
    return replace(
        volume,
        values=upsampled(volume.values, volume.frame_positions, size),
        frame_positions=tuple(float(frame) for frame in range(size[0])),
        layer="",
        details=replace(volume.details, notes=(*volume.details.notes, note), used={"upsample": True}),
    )


class SelectiveRelevance(Explainer[SelectiveParameters]):
    """The moving part of another method's map."""

    name = "selective-relevance"
    summary = "the part of a relevance map that changes in time, and its share: the motion share"
    parameters = SelectiveParameters

    def unsupported(self, model: ActionModel) -> str | None:
        reasons = [explainer(name).unsupported(model) for name in _BASES]
        return None if None in reasons else reasons[0]

    def fitted(self, model: ActionModel, parameters: SelectiveParameters) -> SelectiveParameters:
        if parameters.base is None:
            able = (name for name in _BASES if not explainer(name).unsupported(model))
            return parameters.model_copy(update={"base": next(able)})
        if reason := self._base(parameters).unsupported(model):
            raise RequestError(
                f"base: {parameters.base} cannot explain {model.card.name}: {reason}",
                field="base",
                reason="BASE_UNSUPPORTED",
            )
        return parameters

    def layers(self, model: ActionModel, parameters: SelectiveParameters) -> tuple[str, ...]:
        base = self._base(parameters)
        return base.layers(model, base.parameters())

    def propagates(self, parameters: SelectiveParameters) -> bool:
        base = self._base(parameters)
        return base.propagates(base.parameters())

    def attribute(
        self,
        model: ActionModel,
        forward: Pass,
        items: Sequence[tuple[int, Target]],
        parameters: SelectiveParameters,
    ) -> list[Attribution | RequestError]:
        base = self._base(parameters)
        results: list[Attribution | RequestError] = []
        for volume in base.attribute(model, forward, items, base.parameters()):
            if isinstance(volume, RequestError):
                results.append(volume)
                continue
            if not isinstance(volume, SaliencyVolume):
                raise RequestError(
                    f"base: {base.name!r} makes no map over time and space, so nothing in it can move",
                    field="base",
                    reason="BASE_WITHOUT_MAP",
                )
            volume = finer(volume, forward.clip.shape[2:], parameters.upsample)
            mask = motion_mask(volume.values, parameters.threshold, signed=parameters.signed, peer=parameters.peer)
            positions, share = selectivity(volume.values, mask)
            quality = Quality(selected_positions=positions, motion_share=share)
            results.append(replace(volume, mask=mask, quality=quality))
        return results

    def _base(self, parameters: SelectiveParameters) -> Explainer[Parameters]:
        assert parameters.base is not None, "parameters are fitted to their model first"
        if parameters.base == self.name:
            raise RequestError(f"base: {self.name!r} needs another method's map", field="base", reason="BASE_IS_SELF")
        try:
            return explainer(parameters.base)
        except RequestError as error:
            raise RequestError(f"base: {error.message}", field="base", reason=error.reason) from None


EXPLAINER = SelectiveRelevance()
