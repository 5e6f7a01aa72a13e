"""What temporal masks say of a model: their length, and how the score falls by freezing and by reversing
(temporal-mask paper, 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

import torch
from torch import Tensor

from handlers.evaluation.measure import LeftOut, MapMeasure, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, FrameAttribution
from handlers.explainers.temporal_masks import NO_DROP
from handlers.models.action_model import ActionModel


@dataclass(frozen=True)
class Drops:
    """How far the score falls. ratio: (OS - FS) / (OS - RS), None where a fall is at most `NO_DROP`, 0.001 (the paper's
    filter, which keeps the ratio from exploding). difference: RS - FS, the fall by freezing less that by reversing."""

    ratio: float | None
    difference: float


def drops(original: float, frozen: float, reversed_: float) -> Drops:
    """Drop ratio and difference (4.3) of the scores OS, FS and RS, probabilities in 0 .. 1."""
    freeze, reverse = original - frozen, original - reversed_
    return Drops(freeze / reverse if min(freeze, reverse) > NO_DROP else None, reversed_ - frozen)


def mask_length(mask: Tensor) -> int:
    """The number of frames that a mask, float [T] in 0 .. 1, holds: those above 0.5."""
    return int((mask > 0.5).sum())


@dataclass(frozen=True)
class Summary:
    """Of numbers of many clips: mean, sample standard deviation (None for one clip), median, and how many they are."""

    mean: float
    deviation: float | None
    median: float
    count: int


def summary(numbers: Sequence[float]) -> Summary | None:
    """Of a set's drop ratios the median says more than the mean: the paper's deviation is five times its mean.

    None for no numbers.
    """
    if not numbers:
        return None
    deviation = stdev(numbers) if len(numbers) > 1 else None
    return Summary(fmean(numbers), deviation, median(numbers), len(numbers))


def histogram(numbers: Sequence[float], edges: Sequence[float]) -> Tensor:
    """The share of the numbers in each bin (Fig. 4), float64 [len(edges) - 1]; numbers outside fall in the outermost.

    edges: rising; a bin holds its lower edge, and the last one its upper edge too. Sums to 1; zeros for no numbers.
    """
    bounds = torch.tensor(list(edges), dtype=torch.float64)
    places = torch.bucketize(torch.tensor(list(numbers), dtype=torch.float64), bounds, right=True) - 1
    counts = places.clamp(0, len(bounds) - 2).bincount(minlength=len(bounds) - 1).double()
    return counts / max(len(numbers), 1)


class TemporalMaskStatistics(MapMeasure[MeasureParameters]):
    """The paper's statistics of a learned mask, with the soft mask, as its authors took them, and with the frames where
    it exceeds 0.5."""

    name = "temporal-mask-statistics"
    summary = "length of the learned mask in frames; drop ratio and difference of freezing and reversing by it"
    source = "Interpreting video features (Mänttäri et al.), 4.3 and Table 4"
    parameters = MeasureParameters
    random_draws = 0

    def forwards(self, model: ActionModel, frames: int, parameters: MeasureParameters) -> int:
        return 0

    def measure(self, subject: Subject, attribution: Attribution, parameters: MeasureParameters) -> Measured:
        """Reads the details of the attribution of `temporal-mask`: all are of the learned mask, also where a window or
        no mask is shown."""
        found = attribution.details.measures
        if not isinstance(attribution, FrameAttribution) or "mask_length" not in found:
            raise LeftOut("the explanation is no temporal mask")
        values = {
            "mask-length": Value(found["mask_length"], unit="frames"),
            "soft-length": Value(found["soft_length"], unit="frames"),
            "original-score": Value(found["original_score"], unit="probability"),
        }
        left_out: dict[str, str] = {}
        for which in ("soft", ""):
            values |= _scores(found, which, left_out)
        return Measured(values, left_out)


def _scores(found: Mapping[str, float], mask: str, left_out: dict[str, str]) -> Mapping[str, Value]:
    """The values of the soft mask, or of the hard one (mask ""); adds why one is not defined."""
    read, named = (f"{mask}_", f"{mask}-") if mask else ("", "")
    frozen, reversed_ = found[f"{read}freeze_score"], found[f"{read}reverse_score"]
    own = drops(found["original_score"], frozen, reversed_)
    values = {
        f"{named}freeze-score": Value(frozen, unit="probability"),
        f"{named}reverse-score": Value(reversed_, unit="probability"),
        f"{named}drop-difference": Value(own.difference, unit="probability"),
    }
    if own.ratio is None:
        left_out[f"{named}drop-ratio"] = f"freezing or reversing lowers the score by at most {NO_DROP}"
    else:
        values[f"{named}drop-ratio"] = Value(own.ratio)
    return values


MEASURES = (TemporalMaskStatistics(),)
