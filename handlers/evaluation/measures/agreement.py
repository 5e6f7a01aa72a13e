"""How far methods agree on one clip: on where its evidence is (selective-relevance paper, Table 2), and on when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from torch import Tensor

from handlers.evaluation.common.voxels import voxel_map
from handlers.evaluation.measure import AgreementMeasure, LeftOut, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, SaliencyVolume
from handlers.explainers.profile_agreement import profile_on_frames, spearman
from handlers.models.action_model import ActionModel


def positives(relevance: Tensor, counted: Tensor) -> Tensor:
    """The voxels that a map calls relevant: bool [T, H, W], those above 0 or, of a map without negative values, above
    its mean, for else it would call all voxels so.

    relevance: float [T, H, W]. counted: bool [T, H, W], the voxels that count, in the mean as well.
    """
    own = relevance[counted]
    bound = own.mean() if len(own) and bool((own >= 0).all()) else relevance.new_zeros(())
    return (relevance > bound) & counted


@dataclass(frozen=True)
class Overlap:
    """Shares, 0 .. 1, of the voxels that two maps call relevant: iou, the common ones of those that either does;
    of_first, of_second: of one map's. The paper says "percentage overlap" and not of what. iou is None where a map
    calls none relevant, which is no disagreement on where they are."""

    iou: float | None
    of_first: float | None
    of_second: float | None


def overlap(first: Tensor, second: Tensor) -> Overlap:
    """Compare two sets of voxels, bool tensors of one shape (Table 2, "bitwise comparison")."""
    both, either, one, other = (int(part.sum()) for part in (first & second, first | second, first, second))
    return Overlap(
        iou=both / either if one and other else None,
        of_first=both / one if one else None,
        of_second=both / other if other else None,
    )


class Agreement(AgreementMeasure[MeasureParameters]):
    """Mean overlap of all pairs of methods, mean rank correlation of their frame profiles, and both for each pair."""

    name = "agreement"
    summary = "share of relevant voxels that two methods have in common, in %, and rank correlation of their frames"
    source = "selective relevance (Manders et al.), Table 2"
    parameters = MeasureParameters

    def forwards(self, model: ActionModel, frames: int, parameters: MeasureParameters) -> int:
        return 0

    def measure(
        self, subject: Subject, attributions: Mapping[str, Attribution], parameters: MeasureParameters
    ) -> Measured:
        """Values named "..., a & b" are of a pair; methods that explain frames only have no overlap."""
        if len(attributions) < 2:
            raise LeftOut("agreement needs two methods")
        values: dict[str, Value] = {}
        left_out: dict[str, str] = {}
        relevant = {name: _relevant(subject, attribution) for name, attribution in attributions.items()}
        profiles = {
            name: profile_on_frames(attribution, subject.target.index, subject.shape[0])
            for name, attribution in attributions.items()
        }
        for one, other in combinations(attributions, 2):
            pair = f"{one} & {other}"
            a, b = relevant[one], relevant[other]
            if isinstance(a, str) or isinstance(b, str):
                left_out[f"overlap, {pair}"] = a if isinstance(a, str) else str(b)
            else:
                found = overlap(a, b)
                shares = {"overlap": found.iou, f"share of {one}": found.of_first, f"share of {other}": found.of_second}
                for kind, share in shares.items():
                    if share is None:
                        left_out[f"{kind}, {pair}"] = "no voxel has positive relevance"
                    else:
                        values[f"{kind}, {pair}"] = Value(100 * share, unit="%")
            rho = spearman(profiles[one], profiles[other])
            if rho is None:
                left_out[f"frames, {pair}"] = "a profile has no order: all frames are alike, or not finite"
            else:
                values[f"frames, {pair}"] = Value(rho)
        means: dict[str, Value] = {}
        for mean, kind, unit in ((self.name, "overlap, ", "%"), ("frame-agreement", "frames, ", "")):
            numbers = [value.number for name, value in values.items() if name.startswith(kind)]
            if numbers:
                means[mean] = Value(fmean(numbers), unit=unit)
            else:
                left_out[mean] = "no pair of methods can be compared"
        if not means:
            raise LeftOut("no pair of methods can be compared")
        return Measured(means | values, left_out)


def _relevant(subject: Subject, attribution: Attribution) -> Tensor | str:
    """The voxels that a method calls relevant, or why there are none to compare."""
    try:
        relevance = voxel_map(subject, attribution, signed=True)
    except LeftOut as error:
        return str(error)
    counted = subject.seen.expand_as(relevance)
    if isinstance(attribution, SaliencyVolume) and attribution.mask is not None:
        return (relevance > 0) & counted  # a selective map has chosen already
    return positives(relevance, counted)


MEASURES = (Agreement(),)
