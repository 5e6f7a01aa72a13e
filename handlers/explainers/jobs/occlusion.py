"""Occlusion of space-time patches (Zeiler and Fergus), by Captum."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, Details, SaliencyVolume
from handlers.explainers.common.additive_terms import AdditiveExplainer
from handlers.explainers.common.baseline import BaselineParameters, baseline
from handlers.explainers.common.objective import Objective
from handlers.explainers.iteration import Question, State
from handlers.models.action_model import ActionModel


class OcclusionParameters(BaselineParameters):
    """Parameters of occlusion."""

    frames: Annotated[int | None, Field(ge=1, description="patch in frames; a quarter of the clip when left out")] = (
        None
    )
    pixels: Annotated[
        int | None, Field(ge=1, description="patch in rows and columns; a quarter of the shorter side when left out")
    ] = None


@dataclass(frozen=True)
class Patches:
    """Cubes of `frames` x `pixels` x `pixels` over a clip of size (T, H, W), half a cube apart; cut off at the end."""

    size: tuple[int, int, int]
    frames: int
    pixels: int

    @property
    def slices(self) -> list[tuple[slice, slice, slice]]:
        """Where each patch lies: frames, rows, columns."""
        starts = [
            [start * _half(patch) for start in range(math.ceil((size - patch) / _half(patch)) + 1)]
            for size, patch in zip(self.size, self._patch, strict=True)
        ]
        return [
            (slice(t, t + self.frames), slice(y, y + self.pixels), slice(x, x + self.pixels))
            for t, y, x in itertools.product(*starts)
        ]

    @property
    def _patch(self) -> tuple[int, int, int]:
        return self.frames, self.pixels, self.pixels


class Occlusion(AdditiveExplainer[OcclusionParameters]):
    """The fall of the score when a patch is replaced by the baseline, averaged over the patches that hold a pixel.

    Captum's is the ablation, of patches instead of pixels, so that a job may stop after any of them. The values are
    those of Captum's Occlusion.
    """

    name = "occlusion"
    summary = "fall of the score when space-time patches are hidden, by Captum"
    parameters = OcclusionParameters

    def largest(self, model: ActionModel) -> Mapping[str, int]:
        size = model.card.input
        return {"frames": max(model.most_frames, size.frames), "pixels": min(size.height, size.width)}

    def count(self, question: Question[OcclusionParameters]) -> int:
        return len(_patches(question).slices)

    def zero(self, question: Question[OcclusionParameters]) -> Tensor:
        return torch.zeros(self.count(question))

    def terms(self, question: Question[OcclusionParameters]) -> Callable[[int], Tensor]:
        from captum.attr import FeatureAblation  # late, for the reason given in integrated_gradients.py

        clip, nothing, score = question.model.prepare([question.clip]), baseline(question), Objective(question)
        slices = _patches(question).slices

        def seen(present: Tensor, patch: int) -> Tensor:
            """[1] score with the patch present (1) or absent (0)."""
            if present.item():
                return torch.tensor([score.whole])
            hidden, region = clip.clone(), (..., *slices[patch])
            hidden[region] = nothing[region]
            return score.logit(hidden)

        captum = FeatureAblation(seen)

        def term(patch: int) -> Tensor:
            falls = torch.zeros(len(slices))
            falls[patch] = captum.attribute(torch.ones(1, 1), additional_forward_args=patch)
            return falls

        return term

    def result(self, question: Question[OcclusionParameters], state: State) -> Attribution:
        patches = _patches(question)
        values, times = torch.zeros(patches.size), torch.zeros(patches.size)
        for region, fall in zip(patches.slices[: state.iteration], state.arrays["sum"].tolist(), strict=False):
            values[region] += fall
            times[region] += 1
        details = Details(
            measures={"patch_frames": patches.frames, "patch_pixels": patches.pixels},
            used={"frames": patches.frames, "pixels": patches.pixels},
        )
        frames = tuple(map(float, range(len(values))))
        return SaliencyVolume(values / times.clamp(min=1), frames, signed=True, details=details)


def _patches(question: Question[OcclusionParameters]) -> Patches:
    """Raises RequestError for a patch that is larger than the clip."""
    frames, height, width = question.clip.shape[:3]
    parameters, shorter = question.parameters, min(height, width)
    patches = Patches(
        (frames, height, width), parameters.frames or max(1, frames // 4), parameters.pixels or max(1, shorter // 4)
    )
    for field, patch, most in (("frames", patches.frames, frames), ("pixels", patches.pixels, shorter)):
        if patch > most:
            raise RequestError(
                f"{field}: {patch} is more than the clip's {most}; use at most that",
                field=field,
                reason="BAD_PARAMETER",
            )
    return patches


def _half(patch: int) -> int:
    return max(1, patch // 2)


EXPLAINER = Occlusion()
