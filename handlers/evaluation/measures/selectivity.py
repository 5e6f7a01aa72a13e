"""Selectivity: how much of a map its moving part is, in places and in relevance (selective-relevance paper, 4.3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from handlers.evaluation.common.voxels import native_map
from handlers.evaluation.measure import LeftOut, MapMeasure, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, Curve, SaliencyVolume
from handlers.explainers.live.selective_relevance import finer, motion_mask, selectivity
from handlers.models.action_model import ActionModel


def selectivity_by_threshold(
    relevance: Tensor, thresholds: Sequence[float], counted: Tensor
) -> list[tuple[float, float]]:
    """Shares, 0 .. 1, of the positive places and of the positive relevance that are kept at each threshold n.

    relevance: float [T, H, W] with a positive value among the counted ones. counted: bool, broadcast to it. Kept is
    where |dR/dt| > n std(dR/dt) over the whole map (the paper's section 3). Both shares fall as n rises.
    """
    shares = [selectivity(relevance * counted, motion_mask(relevance, n)) for n in thresholds]
    return [(places, mass) for places, mass in shares if places is not None and mass is not None]


class SelectivityParameters(MeasureParameters):
    """Parameters of selectivity."""

    threshold: Annotated[float, Field(ge=0, le=100, description="n of |dR/dt| > n * std(dR/dt)")] = 4.0
    sweep: Annotated[
        tuple[Annotated[float, Field(ge=0, le=100)], ...],
        Field(max_length=32, description="further n, for the curves"),
    ] = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    upsample: Annotated[
        bool | None,
        Field(description="resize the map to the clip first; when left out, maps coarser than 14 x 14"),
    ] = None


class Selectivity(MapMeasure[SelectivityParameters]):
    """What selective relevance keeps of a map: a selective map is measured by its own mask, any other by that of
    `threshold`."""

    name = "selectivity"
    summary = "share of the positive places, and of the positive relevance, that changes in time; neither way is better"
    source = "selective relevance (Manders et al.), 4.3.2 and Table 3"
    parameters = SelectivityParameters

    def forwards(self, model: ActionModel, frames: int, parameters: SelectivityParameters) -> int:
        return 0

    def measure(self, subject: Subject, attribution: Attribution, parameters: SelectivityParameters) -> Measured:
        native_map(attribution)  # refuses what is no map
        assert isinstance(attribution, SaliencyVolume)
        volume = attribution if attribution.mask is not None else finer(attribution, subject.shape, parameters.upsample)
        relevance, counted = volume.values, _counted(subject, volume.values)
        mask = motion_mask(relevance, parameters.threshold) if volume.mask is None else volume.mask
        places, mass = selectivity(relevance * counted, mask)
        if places is None or mass is None:
            raise LeftOut("nothing in the map is positive")
        values = {self.name: Value(100 * places, unit="%"), "relevance-kept": Value(100 * mass, unit="%")}
        found = selectivity_by_threshold(relevance, parameters.sweep, counted)
        curves = tuple(
            Curve(name, "threshold", parameters.sweep, tuple(100 * shares[part] for shares in found), "%")
            for part, name in enumerate(("places kept", "relevance kept"))
        )
        return Measured(values, curves=curves if parameters.sweep else ())


def _counted(subject: Subject, values: Tensor) -> Tensor:
    """bool [H', W'] of the map's grid: cells of which at least half is no padding."""
    share = functional.adaptive_avg_pool2d(subject.seen.float()[None], (values.shape[1], values.shape[2]))[0]
    return share >= 0.5


MEASURES = (Selectivity(),)
