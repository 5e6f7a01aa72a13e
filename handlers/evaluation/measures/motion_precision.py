"""Motion precision: does positive relevance lie where something moves (selective-relevance paper, 4.3.1)?"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from handlers.evaluation.common.voxels import native_map, to_voxels, voxel_map
from handlers.evaluation.measure import Better, LeftOut, MapMeasure, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, SaliencyVolume
from handlers.models.action_model import ActionModel
from handlers.models.optical_flow import speed

Centre = Literal["none", "mean", "median"]

_SMALLEST = 16
"""Rows and columns that optical flow needs."""


def moving(clip: NDArray[np.uint8], threshold: float = 0.5) -> Tensor:
    """Which pixels move on to the next frame by more than so many pixels: bool [T, H, W].

    clip: uint8 RGB [T, H, W, 3], T >= 2, H and W >= 16. By the length of the dense optical flow from frame t to t + 1
    (DIS, where the paper names no method); the last frame has that of the one before.
    """
    return torch.from_numpy(speed(clip)) > threshold


def centred(relevance: Tensor, centre: Centre, counted: Tensor) -> Tensor:
    """Relevance less its mean or median over the counted voxels; "none": as it is.

    relevance: float [T, H, W]; same shape back. counted: bool [T, H, W]. The paper centres "all explanations around
    zero" and leaves open how; the choice decides which voxels are positive, and with that the order of methods.
    """
    match centre:
        case "mean":
            return relevance - relevance[counted].mean()
        case "median":
            return relevance - relevance[counted].median()
        case _:
            return relevance


def precision(relevance: Tensor, motion: Tensor, counted: Tensor | None = None) -> float | None:
    """P = sum(I_R * I_O) / sum(I_R), I_R = R > 0, in 0 .. 1; None where nothing is positive.

    relevance: float [T, H, W]. motion: bool [T, H, W], I_O. counted: bool [T, H, W], the voxels that count; all if left
    out. (The paper's formula, 4.3.1.)
    """
    positive = relevance > 0 if counted is None else (relevance > 0) & counted
    whole = int(positive.sum())
    return int((positive & motion).sum()) / whole if whole else None


def mass_precision(relevance: Tensor, motion: Tensor, counted: Tensor | None = None) -> float | None:
    """The share of the positive relevance itself, not of its voxels, that lies on what moves, in 0 .. 1.

    Arguments as in `precision`; not in the paper. None where nothing is positive.
    """
    positive = relevance.double().clamp(min=0)
    if counted is not None:
        positive = positive * counted
    whole = float(positive.sum())
    return float(positive[motion].sum()) / whole if whole > 0 else None


class MotionPrecisionParameters(MeasureParameters):
    """Parameters of motion precision."""

    motion: Annotated[
        Literal["flow", "exact"], Field(description="what moves: by optical flow, or the exact masks of the clip")
    ] = "flow"
    threshold: Annotated[float, Field(ge=0, le=1000, description="pixels a frame; flow below it is no motion")] = 0.5
    centre: Annotated[Centre, Field(description="what is taken off the relevance before its sign is read")] = "none"


class MotionPrecision(MapMeasure[MotionPrecisionParameters]):
    """Motion precision of a map, in percent, with the share of voxels that move as what chance gets."""

    name = "motion-precision"
    summary = "share of the positively relevant voxels that move, in %; higher is better, chance is the base rate"
    source = "selective relevance (Manders et al.), 4.3.1"
    parameters = MotionPrecisionParameters

    def forwards(self, model: ActionModel, frames: int, parameters: MotionPrecisionParameters) -> int:
        return 0

    def measure(self, subject: Subject, attribution: Attribution, parameters: MotionPrecisionParameters) -> Measured:
        """A selective map is centred before its mask is applied: what it does not keep is never positive."""
        native_map(attribution)  # refuses what is no map
        assert isinstance(attribution, SaliencyVolume)
        relevance = voxel_map(subject, replace(attribution, mask=None), signed=True)
        motion, counted = _motion(subject, parameters)
        kept = counted
        if attribution.mask is not None:
            kept = kept & (to_voxels(attribution.mask, subject.shape) >= 0.5)
        found = precision(centred(relevance, parameters.centre, counted), motion, kept)
        if found is None:
            raise LeftOut("no voxel has positive relevance")
        numbers = {
            self.name: found,
            "precision-above-mean": precision(centred(relevance, "mean", counted), motion, kept),
            "mass-precision": mass_precision(relevance, motion, kept),
        }
        values = {name: _percent(number, Better.HIGHER) for name, number in numbers.items() if number is not None}
        values["base-rate"] = _percent(int((motion & counted).sum()) / int(counted.sum()), Better.NEITHER)
        left_out = {name: "no voxel has positive relevance" for name, number in numbers.items() if number is None}
        return Measured(values, left_out)


def _motion(subject: Subject, parameters: MotionPrecisionParameters) -> tuple[Tensor, Tensor]:
    """bool [T, H, W]: what moves, and the voxels for which that is known."""
    frames, height, width = subject.shape
    counted = subject.seen.expand(frames, height, width)
    if parameters.motion == "flow":
        if frames < 2 or min(height, width) < _SMALLEST:
            raise LeftOut(f"optical flow needs two frames of {_SMALLEST} x {_SMALLEST} at least")
        return subject.speed > parameters.threshold, counted
    truth = subject.truth
    if truth.objects is None or not truth.exact:
        raise LeftOut("the clip has no exact masks")
    if truth.annotated is not None:
        counted = counted & truth.annotated[:, None, None]
    if not counted.any():
        raise LeftOut("no frame is annotated")
    return truth.objects, counted


def _percent(share: float, better: Better) -> Value:
    return Value(100 * share, better, "%")


MEASURES = (MotionPrecision(),)
