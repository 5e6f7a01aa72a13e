"""Accuracy on masked clips (comprehensive study, S3): is the class still found where only the best voxels are seen?"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from handlers.evaluation.common.blank_clips import BLUR, blank_clip
from handlers.evaluation.common.perturbed_clips import ModelScore, Score, replaced
from handlers.evaluation.common.ranking import Ranking, ranked_voxels
from handlers.evaluation.common.voxels import voxel_map
from handlers.evaluation.measure import Better, LeftOut, MapMeasure, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, Curve
from handlers.models.action_model import ActionModel


def predictions(score: Score, clip: Tensor, blank: Tensor, ranking: Ranking, percents: tuple[float, ...]) -> Tensor:
    """The top class where the first round(x U / 100) of U ranked units are seen, and the blank clip elsewhere.

    score: of all classes, [B, K]. clip, blank: float [C, T, H, W]. percents: the x, 0 .. 100; of any that is above 0 at
    least one unit is seen. Returns int64 [len(percents)].
    """
    found = []
    for percent in percents:
        units = max(round(percent * len(ranking) / 100), int(percent > 0))
        found.append(score(replaced(blank, clip, ranking.first(units))[None]).argmax(1))
    return torch.cat(found)


class MaskedAccuracyParameters(MeasureParameters):
    """Parameters of accuracy on masked clips."""

    kept: Annotated[
        tuple[Annotated[float, Field(gt=0, le=100)], ...],
        Field(min_length=1, max_length=32, description="percentages of the voxels that are seen"),
    ] = (1.0, 2.0, 5.0, 10.0, 20.0)
    blur: Annotated[
        float, Field(gt=0, le=1, description="standard deviation of the blur as a share of the shorter side")
    ] = BLUR


class MaskedAccuracy(MapMeasure[MaskedAccuracyParameters]):
    """M12. Of one clip each value is 100 or 0; the mean over clips is the accuracy, to be compared with `unmasked`."""

    name = "masked-accuracy"
    summary = "whether the class is found where only the top 1 to 20 % of the voxels are not blurred; higher is better"
    source = "comprehensive study, S3"
    parameters = MaskedAccuracyParameters
    needs = frozenset({"label"})

    def forwards(self, model: ActionModel, frames: int, parameters: MaskedAccuracyParameters) -> int:
        return len(parameters.kept)

    def measure(self, subject: Subject, attribution: Attribution, parameters: MaskedAccuracyParameters) -> Measured:
        label = subject.truth.label
        if label is None:
            raise LeftOut("the clip has no label")
        ranking = ranked_voxels(voxel_map(subject, attribution), subject.seen, subject.generator())
        if not len(ranking):
            raise LeftOut("the clip is all padding")
        clip = subject.model.prepare([subject.clip])[0]
        blank = blank_clip(subject, clip, "blur", parameters.blur)
        kept = tuple(sorted(parameters.kept))
        right = (predictions(ModelScore(subject.model), clip, blank, ranking, kept) == label).tolist()
        accuracies = [100.0 * found for found in right]
        values = {
            f"kept {percent:g}%": Value(found, Better.HIGHER, "%")
            for percent, found in zip(kept, accuracies, strict=True)
        }
        values["unmasked"] = Value(100.0 * bool(subject.correct), Better.HIGHER, "%")
        values["tied"] = Value(100 * ranking.tied, unit="%")
        curve = Curve("masked accuracy", "percent of the voxels seen", kept, tuple(accuracies), "%")
        return Measured(values, curves=(curve,))


MEASURES = (MaskedAccuracy(),)
