"""What Shapley values of elements look like, and how far sampled ones are from exact ones (Play Fair, 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from handlers.evaluation.common.correlation import pearson
from handlers.evaluation.common.element_features import element_features, exact_shapley, network_of
from handlers.evaluation.measure import Better, LeftOut, MapMeasure, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, Curve, FrameAttribution
from handlers.explainers.common.discard_curves import of_target, prior
from handlers.models.action_model import ActionModel
from handlers.models.blocks.consensus import frame_model

LEAST_PROBABILITY = 0.05
"""Of the class, below which its values are too small to say how well they are approximated (Play Fair, 3.2)."""

ValuesOf = Callable[[Tensor], Tensor]
"""From features of elements [n, D] to the class's Shapley values [n]."""


def supporting_share(values: Tensor) -> float:
    """Share of elements that speak for the class (> 0), in %. values: [n]."""
    return 100 * float((values > 0).double().mean())


def is_above(values: Tensor) -> Tensor:
    """float32 [n, n]: 1 where the value of i is larger than that of j. Its mean over clips is P(phi_i > phi_j) (Fig.
    5)."""
    return (values[:, None] > values).float()


def is_at(values: Tensor, extreme: float) -> Tensor:
    """float32 [n]: where the values are the extreme one; several such places share 1. Its mean over clips is how often
    each position is the most supporting, or distracting (Fig. 4b)."""
    found = (values == extreme).float()
    return found / found.sum()


def normalised(values: Tensor) -> Tensor:
    """Values [n] over the sum of their sizes; 0 where all are."""
    total = values.abs().sum()
    return values / total if total > 0 else values


def replacement_changes(values_of: ValuesOf, features: Tensor, reach: int) -> Tensor:
    """What an element's normalised value changes by when another one stands in its place (Fig. 6c).

    float64 [n, 2 reach + 1]: of element i when it is replaced by element i + d, d = -reach .. reach; NaN where there is
    none, 0 for d = 0. The paper takes the neighbours from the whole video; here they are the clip's own elements, so a
    shift of 1 is as far as sampling is wide.
    """
    count = len(features)
    before = normalised(values_of(features).double())
    found = torch.full((count, 2 * reach + 1), torch.nan, dtype=torch.float64)
    found[:, reach] = 0
    for element in range(count):
        for shift in range(-reach, reach + 1):
            if shift and 0 <= element + shift < count:
                changed = features.clone()
                changed[element] = features[element + shift]
                after = normalised(values_of(changed).double())
                found[element, reach + shift] = after[element] - before[element]
    return found


def relative_errors(estimate: Tensor, exact: Tensor) -> Tensor:
    """|estimate - exact| over the mean size of the exact values: [n]. Raises LeftOut where all of them are 0."""
    scale = exact.abs().mean()
    if scale == 0:
        raise LeftOut("all exact values are 0")
    return (estimate - exact).abs() / scale


def lad_slope(estimate: Tensor, exact: Tensor) -> float:
    """Slope of the line of least absolute deviations that leads from estimates to exact values, with an intercept.

    Below 1 the values are over-estimated. estimate, exact: [n], n >= 2. Some such line goes through two of the points,
    so all pairs are tried. Raises LeftOut where all estimates, or all exact values (of a still clip), are equal.
    """
    x, y = estimate.double(), exact.double()
    first, second = torch.tensor(list(combinations(range(len(x)), 2))).T
    wide = x[first] != x[second]
    if not bool(wide.any()) or y.max() - y.min() <= 1e-9 * y.abs().max():
        raise LeftOut("all values are equal")
    first, second = first[wide], second[wide]
    slopes = (y[second] - y[first]) / (x[second] - x[first])
    offsets = y[first] - slopes * x[first]
    deviations = (y - slopes[:, None] * x - offsets[:, None]).abs().sum(1)
    return float(slopes[deviations.argmin()])


class ShapleyStatisticsParameters(MeasureParameters):
    """Parameters of Shapley statistics."""

    reach: Annotated[
        int, Field(ge=0, le=8, description="farthest neighbour that stands in for an element; 0: none")
    ] = 3


class ShapleyStatistics(MapMeasure[ShapleyStatisticsParameters]):
    """Statistics of the values of `esv` or `frame-shapley`, on their own elements: frames, snippets or groups.

    Sampled values of `esv` are compared with exact ones where these can be had, up to 16 elements. So are values with a
    neighbour in an element's place, whose game is that of probabilities whatever the explanation's was.
    """

    name = "shapley-statistics"
    summary = "share of supporting elements, where the extremes lie, smoothness over time, error of sampled values"
    source = "Play Fair (Price and Damen 2020), Figs. 4, 5, 6 and 8"
    parameters = ShapleyStatisticsParameters
    random_draws = 0

    def forwards(self, model: ActionModel, frames: int, parameters: ShapleyStatisticsParameters) -> int:
        return 0 if frame_model(model.module) is None else 1

    def measure(self, subject: Subject, attribution: Attribution, parameters: ShapleyStatisticsParameters) -> Measured:
        arrays = attribution.details.arrays
        if not isinstance(attribution, FrameAttribution) or "values_by_class" not in arrays:
            raise LeftOut("the explanation has no Shapley values")
        values = of_target(arrays["values_by_class"], subject.target).double()
        if not bool(values.isfinite().all()):
            raise LeftOut("the explanation has values that are not finite")
        found = _Found(values)
        found.of_values(subject)
        if "marginals" in arrays:
            found.of_marginals(arrays["marginals"].double(), attribution.unit)
        found.of_sampling(subject, attribution)
        if parameters.reach:
            found.of_neighbours(subject, parameters.reach)
        return Measured(found.numbers, found.left_out, tuple(found.curves), found.arrays)


class _Found:
    """What is gathered for one clip, part by part."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self.numbers: dict[str, Value] = {}
        self.left_out: dict[str, str] = {}
        self.curves: list[Curve] = []
        self.arrays: dict[str, Tensor] = {"values": values.float()}

    def of_values(self, subject: Subject) -> None:
        share = supporting_share(self.values)
        self.numbers["supporting"] = Value(share, unit="%")
        for name, right in (("supporting_right", True), ("supporting_wrong", False)):
            if subject.correct is right:
                self.numbers[name] = Value(share, unit="%")
            else:
                known = "the clip is recognised wrongly" if right else "the clip is recognised rightly"
                self.left_out[name] = "no label is given" if subject.correct is None else known
        self.numbers["most_supporting"] = Value(float(self.values.argmax()))
        self.numbers["most_distracting"] = Value(float(self.values.argmin()))
        self.arrays["most_supporting"] = is_at(self.values, float(self.values.max()))
        self.arrays["most_distracting"] = is_at(self.values, float(self.values.min()))
        self.arrays["is_above"] = is_above(self.values)

    def of_marginals(self, marginals: Tensor, unit: str) -> None:
        """marginals: [n, n], [s, i] the mean gain by element i that joins s others (Fig. 6a, whose scale is s + 1)."""
        self.arrays["marginals"] = marginals.float()
        scales = tuple(float(scale) for scale in range(1, len(marginals) + 1))
        self.curves.append(Curve("marginal contribution", "scale", scales, tuple(marginals.mean(1).tolist()), unit))

    def of_sampling(self, subject: Subject, attribution: Attribution) -> None:
        """How far sampled values are from exact ones (Fig. 8)."""
        names = ("relative_error", "slope", "pearson")
        try:
            if "marginals" not in attribution.details.arrays or not any(
                note.startswith("sampled:") for note in attribution.details.notes
            ):
                raise LeftOut("the values are not sampled ones of esv")
            if subject.probability < LEAST_PROBABILITY:
                raise LeftOut(f"the class's probability is below {LEAST_PROBABILITY}")
            exact = _exact(subject)(element_features(subject))
            self.numbers["relative_error"] = Value(
                100 * float(relative_errors(self.values, exact).mean()), Better.LOWER, "%"
            )
            self.numbers["slope"] = Value(lad_slope(self.values, exact))
            self.numbers["pearson"] = Value(pearson(self.values, exact), Better.HIGHER)
        except LeftOut as reason:
            self.left_out |= {name: str(reason) for name in names if name not in self.numbers}

    def of_neighbours(self, subject: Subject, reach: int) -> None:
        names = [f"change_{shift}" for shift in range(1, reach + 1)]
        try:
            changes = replacement_changes(_exact(subject), element_features(subject), reach)
        except LeftOut as reason:
            self.left_out |= dict.fromkeys(names, str(reason))
            return
        self.arrays["changes"] = changes.float()
        sizes = changes.abs()
        for shift, name in enumerate(names, start=1):
            both = sizes[:, [reach - shift, reach + shift]]
            if shift < len(changes):
                self.numbers[name] = Value(float(both.nanmean()))
            else:
                self.left_out[name] = f"the clip has {len(changes)} elements"
        shifts = [shift for shift in range(-reach, reach + 1) if abs(shift) < len(changes)]
        mean = sizes.nanmean(0)
        self.curves.append(
            Curve(
                "change of the normalised value",
                "elements from the one replaced to its replacement",
                tuple(map(float, shifts)),
                tuple(float(mean[reach + shift]) for shift in shifts),
            )
        )


def _exact(subject: Subject) -> ValuesOf:
    """Exact values on probabilities, of the class less those of its contrast."""
    model = subject.model
    consensus = network_of(model).consensus
    empty, _ = prior(model.card.class_prior, len(model.card.labels))
    return lambda features: of_target(exact_shapley(consensus, features, empty).values, subject.target)


MEASURES = (ShapleyStatistics(),)
