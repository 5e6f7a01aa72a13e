"""How many frames a model needs, over a set of clips (action temporal relevance, 3.2 and 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from handlers.evaluation.measure import LeftOut, MapMeasure, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, RelevanceMatrix
from handlers.models.action_model import ActionModel


def normalised_matrix(matrix: Tensor, row_logits: Tensor) -> Tensor | None:
    """A relevance matrix divided by the sum of its positive row logits, so that clips weigh alike in a mean.

    matrix: float [T', N]. row_logits: float [T'] of the target. Returns float64 [T', N]; None where no logit is
    positive. (The paper weighs rows by l_i+ / sum l+, 3.2, and draws sets' mean matrices without saying their scale.)
    """
    whole = float(row_logits.double().clamp(min=0).sum())
    return matrix.double() / whole if whole > 0 else None


@dataclass(frozen=True)
class MeanMatrix:
    """mean, deviation: float64 [T', N] over so many clips (`count`), the deviation that of the sample; 0 for one."""

    mean: Tensor
    deviation: Tensor
    count: int


def mean_matrix(matrices: Sequence[Tensor]) -> MeanMatrix | None:
    """The mean relevance matrix of a set of clips (Fig. 2), of matrices of one shape [T', N] that `normalised_matrix`
    has made comparable. None for no matrices. Raises ValueError for several shapes."""
    if not matrices:
        return None
    if len({tuple(matrix.shape) for matrix in matrices}) > 1:
        raise ValueError("matrices of clips of different length have no mean")
    stacked = torch.stack([matrix.double() for matrix in matrices])
    deviation = stacked.std(0) if len(stacked) > 1 else torch.zeros_like(stacked[0])
    return MeanMatrix(stacked.mean(0), deviation, len(stacked))


class RelevanceLengthParameters(MeasureParameters):
    """Which clips count (4.2: those with a correct prediction of more than 0.5)."""

    correct: Annotated[bool, Field(description="only clips whose top-1 class is their label, where that is known")] = (
        True
    )
    min_score: Annotated[float, Field(ge=0, le=1, description="only clips whose probability is above it")] = 0.5


class TemporalRelevanceLengths(MapMeasure[RelevanceLengthParameters]):
    """avg-ATR and max-ATR of a clip, and its matrix for the mean of the set.

    Where the explanation's matrix has sums over blocks of frames (`atr:blocks=true`, for networks with a slower
    pathway), lengths count blocks, and the mean matrix is one of blocks.
    """

    name = "temporal-relevance-lengths"
    summary = "avg-ATR and max-ATR: how many frames the model needs for its time steps; neither way is better"
    source = "action temporal relevance (ATR), 3.2, 4.2 and appendix B"
    parameters = RelevanceLengthParameters
    random_draws = 0

    def unsupported(self, model: ActionModel) -> str | None:
        return model.program.no_frame_logits or None

    def forwards(self, model: ActionModel, frames: int, parameters: RelevanceLengthParameters) -> int:
        return 0

    def measure(self, subject: Subject, attribution: Attribution, parameters: RelevanceLengthParameters) -> Measured:
        if not isinstance(attribution, RelevanceMatrix):
            raise LeftOut("the explanation is no matrix of temporal relevance")
        if parameters.correct and subject.correct is False:
            raise LeftOut("the top-1 class is not the clip's label")
        if subject.probability <= parameters.min_score:
            raise LeftOut(f"the class's probability is at most {parameters.min_score:g}")
        average, maximum = attribution.average_length, attribution.maximum_length
        matrix = normalised_matrix(attribution.values, attribution.row_logits)
        if average is None or maximum is None or matrix is None:
            raise LeftOut(attribution.undefined or "no time step has a positive logit for this class")
        columns, frames = matrix.shape[1], subject.shape[0]
        unit = "frames" if columns == frames else "blocks"
        values = {
            "average-length": Value(average, unit=unit),
            "maximum-length": Value(maximum, unit=unit),
            "average-share": Value(100 * average / columns, unit="%"),
        }
        return Measured(values, arrays={"matrix": matrix.float()})


MEASURES = (TemporalRelevanceLengths(),)
