"""The saliency metric (comprehensive study, Eq. 6; after Dabkowski and Gal): a small part that suffices scores low."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field
from torch import Tensor

from handlers.evaluation.common.blank_clips import BLUR, blank_clip
from handlers.evaluation.common.perturbed_clips import class_score, replaced
from handlers.evaluation.common.voxels import voxel_map
from handlers.evaluation.measure import Better, LeftOut, MapMeasure, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution
from handlers.models.action_model import ActionModel

_LEAST_PROBABILITY = 1e-12


def salient(values: Tensor, seen: Tensor, threshold: float) -> Tensor:
    """K: where the map, scaled to 0 .. 1 by its smallest and largest value over the clip, is at least a threshold.

    values: float [T, H, W], finite, not the same everywhere. seen: bool [H, W], what is no padding; the rest is never
    in K. Returns bool [T, H, W].
    """
    shown = values[:, seen]
    low, high = shown.min(), shown.max()
    return ((values - low) / (high - low) >= threshold) & seen


def saliency_metric(area: float, probability: float, smallest: float = 0.05) -> float:
    """ln(max(area, smallest)) - ln(probability), lower is better; ln(smallest) at best, may be negative.

    area: share of the visible voxels that is kept, 0 .. 1. probability: of the class, of the clip with all else
    perturbed; taken as 1e-12 where it is less.
    """
    return math.log(max(area, smallest)) - math.log(max(probability, _LEAST_PROBABILITY))


class SaliencyMetricParameters(MeasureParameters):
    """Parameters of the saliency metric."""

    thresholds: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1)], ...],
        Field(min_length=1, max_length=16, description="of the map scaled to 0 .. 1; 0.5 makes the value s50"),
    ] = (0.5, 0.75)
    smallest: Annotated[float, Field(gt=0, le=1, description="smaller shares of the clip count as this one")] = 0.05
    blur: Annotated[
        float, Field(gt=0, le=1, description="standard deviation of the blur as a share of the shorter side")
    ] = BLUR


class SaliencyMetric(MapMeasure[SaliencyMetricParameters]):
    """M3: S50 and S75, with the share of the clip and the probability that each of them is made of."""

    name = "saliency-metric"
    summary = "s50, s75: log of the share kept less log of its probability, all else blurred; lower is better"
    source = "comprehensive study, Eq. 6"
    parameters = SaliencyMetricParameters

    def forwards(self, model: ActionModel, frames: int, parameters: SaliencyMetricParameters) -> int:
        return len(parameters.thresholds)

    def measure(self, subject: Subject, attribution: Attribution, parameters: SaliencyMetricParameters) -> Measured:
        values, seen = voxel_map(subject, attribution), subject.seen
        shown = values[:, seen]
        if not shown.numel() or bool(shown.min() == shown.max()):
            raise LeftOut("the map is the same everywhere, so no part of it is salient")
        clip = subject.model.prepare([subject.clip])[0]
        blank, score = blank_clip(subject, clip, "blur", parameters.blur), class_score(subject)
        numbers: dict[str, Value] = {}
        shares: dict[str, Value] = {}
        for threshold in parameters.thresholds:
            kept, name = salient(values, seen, threshold), f"{100 * threshold:g}"
            area = int(kept.sum()) / shown.numel()
            probability = float(score(replaced(blank, clip, kept.flatten().nonzero()[:, 0])[None])[0])
            found = saliency_metric(area, probability, parameters.smallest)
            numbers[f"s{name}"] = Value(found, Better.LOWER)
            shares[f"kept{name}"] = Value(100 * area, unit="%")
            shares[f"probability{name}"] = Value(probability, unit="probability")
        return Measured(numbers | shares)


MEASURES = (SaliencyMetric(),)
