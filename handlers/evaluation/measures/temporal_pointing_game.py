"""The temporal pointing game: is the frame that counts most one of the action (comprehensive study, 4.1)?"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from handlers.evaluation.common.frame_values import frame_values
from handlers.evaluation.measure import Better, LeftOut, MapMeasure, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution
from handlers.models.action_model import ActionModel


def highest_frame(values: Tensor, generator: torch.Generator) -> tuple[int, bool]:
    """The frame with the largest value, a random one of several equal; and whether there were several.

    values: float [T].
    """
    highest = (values == values.max()).nonzero()[:, 0]
    return int(highest[torch.randint(len(highest), (), generator=generator)]), len(highest) > 1


class TemporalPointingGameParameters(MeasureParameters):
    """Parameters of the temporal pointing game."""

    of_frame: Annotated[
        Literal["sum", "max"],
        Field(description="a frame's value in a map: the sum of its voxels, as the authors' code, or the largest one"),
    ] = "sum"


class TemporalPointingGame(MapMeasure[TemporalPointingGameParameters]):
    """Whether the highest frame lies in the segment of the action; the share of it is what a random frame gets."""

    name = "temporal-pointing-game"
    summary = "whether the frame that counts most is one of the action, in % of clips; higher is better"
    source = "comprehensive study, 4.1 (T-PT), Table 4"
    parameters = TemporalPointingGameParameters
    needs = frozenset({"segment"})

    def forwards(self, model: ActionModel, frames: int, parameters: TemporalPointingGameParameters) -> int:
        return 0

    def measure(
        self, subject: Subject, attribution: Attribution, parameters: TemporalPointingGameParameters
    ) -> Measured:
        """frame: float32 [1], the number of the highest one."""
        segment = subject.truth.segment
        if segment is None:
            raise LeftOut("the clip has no segment of the action")
        if not segment.any() or segment.all():
            raise LeftOut("the segment holds no frame, or all: nothing can be missed")
        values = frame_values(subject, attribution, parameters.of_frame)
        frame, several = highest_frame(values, subject.generator())
        return Measured(
            {
                self.name: Value(100.0 * bool(segment[frame]), Better.HIGHER, "%"),
                "chance": Value(100 * float(segment.double().mean()), unit="%"),
                "tied": Value(100.0 * several, unit="%"),
            },
            arrays={"frame": torch.tensor([float(frame)])},
        )


MEASURES = (TemporalPointingGame(),)
