"""Causal insertion and deletion (comprehensive study, 3.3 and S2; after RISE): how the class's probability rises as the
clip is put into a blank one, the most relevant part first, and falls as it is taken out.

In a notebook, for a `score` of prepared clips, a map [T, H, W], a clip [C, T, H, W] and the same without its content:

>>> ranking = ranked_patches(values, seen, generator)           # or ranked_voxels
>>> area_under(insertion_curve(score, clip, blurred, ranking))  # 0 .. 1, higher is better
>>> area_under(deletion_curve(score, clip, grey, ranking))      # 0 .. 1, lower is better
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from handlers.evaluation.common.blank_clips import BLUR, Blank, blank_clip
from handlers.evaluation.common.perturbed_clips import Score, area_under, class_score, replacement_curve
from handlers.evaluation.common.ranking import Ranking, ranked_patches, ranked_voxels
from handlers.evaluation.common.voxels import voxel_map
from handlers.evaluation.measure import Better, LeftOut, MapMeasure, Measured, MeasureParameters, P, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, Curve
from handlers.models.action_model import ActionModel


def insertion_curve(score: Score, clip: Tensor, blank: Tensor, ranking: Ranking, steps: int = 128) -> Tensor:
    """s_t = score of the blank clip with the first floor(t U / steps) of U ranked units of the clip put in.

    clip, blank: float [C, T, H, W] as the network takes them. Returns float64 [steps + 1]: s_0 of the blank clip, the
    last of the clip. The paper starts from the blurred clip; the authors' script, unlike it, from zeros.
    """
    return replacement_curve(score, blank, clip, ranking, steps)


def deletion_curve(score: Score, clip: Tensor, blank: Tensor, ranking: Ranking, steps: int = 128) -> Tensor:
    """s_t = score of the clip with the first floor(t U / steps) of U ranked units replaced by those of the blank clip.

    As `insertion_curve`; s_0 of the clip, the last of the blank clip, which is grey in the paper.
    """
    return replacement_curve(score, clip, blank, ranking, steps)


def insertion_deletion_gap(
    score: Score, clip: Tensor, blurred: Tensor, grey: Tensor, ranking: Ranking, steps: int = 5
) -> float:
    """Area under insertion less that under deletion, -1 .. 1, higher is better: 2 (steps + 1) forwards.

    clip: float [C, T, H, W]; blurred, grey: blank clips to put it into, and to take it out to. In so few steps a
    ranking of patches is meant. A random order has a gap near 0 where both curves bend alike, which they need not.
    """
    put_in = insertion_curve(score, clip, blurred, ranking, steps)
    return area_under(put_in) - area_under(deletion_curve(score, clip, grey, ranking, steps))


class InsertionParameters(MeasureParameters):
    """Parameters of insertion by voxels."""

    steps: Annotated[int, Field(ge=1, le=4096, description="parts in which the clip is put in")] = 128
    blank: Annotated[Blank, Field(description="the clip to start from: blur, grey, or fade (the mean colour)")] = "blur"
    blur: Annotated[
        float, Field(gt=0, le=1, description="standard deviation of the blur as a share of the shorter side")
    ] = BLUR


class DeletionParameters(InsertionParameters):
    """Parameters of deletion by voxels."""

    steps: Annotated[int, Field(ge=1, le=4096, description="parts in which the clip is taken out")] = 128
    blank: Annotated[Blank, Field(description="the clip to end with: grey, blur, or fade (the mean colour)")] = "grey"


_GRID = Field(ge=1, le=64, description="patches in a row and in a column of a frame")


class PatchInsertionParameters(InsertionParameters):
    """Parameters of insertion by patches."""

    grid: Annotated[int, _GRID] = 16


class PatchDeletionParameters(DeletionParameters):
    """Parameters of deletion by patches."""

    grid: Annotated[int, _GRID] = 16


class _Replacement(MapMeasure[P]):
    """The area under the curve, as a percentage, and the share of ranked units whose value is not theirs alone."""

    better: ClassVar[Better]

    def forwards(self, model: ActionModel, frames: int, parameters: P) -> int:
        assert isinstance(parameters, InsertionParameters)
        return parameters.steps + 1

    def measure(self, subject: Subject, attribution: Attribution, parameters: P) -> Measured:
        assert isinstance(parameters, InsertionParameters)
        ranking = _ranked(subject, attribution, parameters)
        clip = subject.model.prepare([subject.clip])[0]
        blank = blank_clip(subject, clip, parameters.blank, parameters.blur)
        inserts = self.better is Better.HIGHER
        curve_of = insertion_curve if inserts else deletion_curve
        curve = curve_of(class_score(subject), clip, blank, ranking, parameters.steps)
        shares = (torch.arange(parameters.steps + 1) / parameters.steps).tolist()
        return Measured(
            values={
                self.name: Value(100 * area_under(curve), self.better, "%"),
                "tied": Value(100 * ranking.tied, unit="%"),
            },
            curves=(
                Curve(
                    name=self.name,
                    x_name="share put in" if inserts else "share taken out",
                    x=tuple(shares),
                    y=tuple(curve.tolist()),
                    unit="probability",
                ),
            ),
        )


def _ranked(subject: Subject, attribution: Attribution, parameters: InsertionParameters) -> Ranking:
    """Raises LeftOut for an explanation without voxels, and a clip that is all padding."""
    values, seen, generator = voxel_map(subject, attribution), subject.seen, subject.generator()
    if isinstance(parameters, PatchInsertionParameters | PatchDeletionParameters):
        ranking = ranked_patches(values, seen, generator, parameters.grid)
    else:
        ranking = ranked_voxels(values, seen, generator)
    if not len(ranking):
        raise LeftOut("the clip is all padding")
    return ranking


class Insertion(_Replacement[InsertionParameters]):
    """M1, insertion of voxels."""

    name = "insertion"
    summary = "area under the class's probability as voxels are put into the blurred clip, best first; higher is better"
    source = "comprehensive study, 3.3 (CI, pixel-wise); RISE"
    parameters = InsertionParameters
    better = Better.HIGHER


class Deletion(_Replacement[DeletionParameters]):
    """M1, deletion of voxels."""

    name = "deletion"
    summary = (
        "area under the class's probability as voxels turn grey, best first; lower is better, also for random maps"
    )
    source = "comprehensive study, 3.3 (CD, pixel-wise); RISE"
    parameters = DeletionParameters
    better = Better.LOWER


class PatchInsertion(_Replacement[PatchInsertionParameters]):
    """M2, insertion of patches."""

    name = "insertion-patches"
    summary = "insertion, in patches of a 16 x 16 grid of each frame; higher is better"
    source = "comprehensive study, S2 (CI, patch-wise)"
    parameters = PatchInsertionParameters
    better = Better.HIGHER


class PatchDeletion(_Replacement[PatchDeletionParameters]):
    """M2, deletion of patches."""

    name = "deletion-patches"
    summary = "deletion, in patches of a 16 x 16 grid of each frame; lower is better, also for random maps"
    source = "comprehensive study, S2 (CD, patch-wise)"
    parameters = PatchDeletionParameters
    better = Better.LOWER


MEASURES = (Insertion(), Deletion(), PatchInsertion(), PatchDeletion())
