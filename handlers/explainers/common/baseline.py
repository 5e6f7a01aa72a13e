"""Clips without content, for methods that compare a clip with the absence of its content."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import Field
from torch import Tensor

from handlers.explainers.attribution import Details, SaliencyVolume
from handlers.explainers.common.objective import Objective
from handlers.explainers.explainer import Parameters
from handlers.explainers.iteration import Question
from handlers.explainers.perturbation import smoothed


class BaselineParameters(Parameters):
    """The parameter that these methods share."""

    baseline: Annotated[
        Literal["grey", "black", "blur"], Field(description="what stands for absent content: grey, black or blur")
    ] = "grey"


B = TypeVar("B", bound=BaselineParameters)


def baseline(question: Question[B]) -> Tensor:
    """The clip without content, as the network takes it: float32 [1, C, T, H, W].

    "grey" is 128 everywhere and "black" 0, and in both nothing moves; "blur" is the clip itself as the network takes
    it, pixels or flow, each frame smoothed by a Gaussian whose standard deviation is a tenth of the shorter side.
    """
    clip, kind = question.clip, question.parameters.baseline
    if kind == "blur":
        return smoothed(question.model.prepare([clip])[0], min(clip.shape[1:3]) / 10)[None]
    return question.model.prepare([np.full_like(clip, 128 if kind == "grey" else 0)])


def pixel_volume(question: Question[B], values: Tensor, complete: bool) -> SaliencyVolume:
    """Values [T, H, W] at the clip's own resolution; with their convergence delta when they are complete."""
    details = completeness(question, values) if complete else Details()
    return SaliencyVolume(values, tuple(map(float, range(len(values)))), signed=True, details=details)


def completeness(question: Question[B], values: Tensor) -> Details:
    """How far values are from adding up to the score of the clip less that of the baseline: Captum's delta."""
    score = Objective(question)
    gap = score.whole - float(score.logit(baseline(question)))
    return Details(measures={"convergence_delta": float(values.sum()) - gap})
