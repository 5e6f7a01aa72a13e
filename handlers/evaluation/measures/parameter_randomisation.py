"""Sanity check by parameter randomisation (Adebayo et al. 2018): a map that survives the loss of all that the network
has learnt explains something else."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from handlers.errors import RequestError
from handlers.evaluation.common.correlation import structural_similarity
from handlers.evaluation.common.frame_values import frame_values
from handlers.evaluation.common.randomised_networks import in_depths, layers_from_head, shuffled_weights, with_weights
from handlers.evaluation.common.voxels import native_map
from handlers.evaluation.measure import Better, ExplainAgainMeasure, LeftOut, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Explain, Subject
from handlers.explainers.attribution import Attribution, Curve, RelevanceMatrix, SaliencyVolume
from handlers.explainers.profile_agreement import spearman
from handlers.models.action_model import ActionModel
from handlers.relevance import Opaque

BINS = 100
"""Of the histogram whose entropy is an explanation's complexity."""


def complexity(values: Tensor) -> float:
    """Entropy of the histogram of sizes, in nats: 0 .. ln 100. values: float, any shape; all 0: 0.

    Sizes over the largest of them, in 100 bins (Hedstrom et al. 2023, Sanity Checks Revisited).
    """
    sizes = values.detach().abs().double().flatten()
    largest = sizes.max()
    if largest == 0:
        return 0.0
    counts = torch.histc(sizes / largest, BINS, 0, 1)
    return float(torch.special.entr(counts / counts.sum()).sum())


def complexity_rise(before: Tensor, after: Tensor) -> float:
    """Efficient MPRT: (complexity after - before) / before; higher is better: noise is more complex than a reason.

    before, after: of the network as it is and with all weights random. Raises LeftOut where the map before has no
    complexity."""
    own = complexity(before)
    if own == 0:
        raise LeftOut("the explanation has no complexity that could rise")
    return (complexity(after) - own) / own


def similarities(before: Tensor, after: Tensor) -> dict[str, float]:
    """How far an explanation survives: Spearman's correlation of sizes and of signed values, and SSIM of sizes where
    it has two axes or more. before, after: float of one shape. What is not defined, of a constant map, is left out."""
    one, other = before.double().flatten(), after.double().flatten()
    correlations = {"spearman_abs": spearman(one.abs(), other.abs()), "spearman": spearman(one, other)}
    found = {name: rho for name, rho in correlations.items() if rho is not None}
    if before.ndim >= 2 and bool((before != 0).any()) and bool((after != 0).any()):
        found["ssim"] = structural_similarity(before.abs(), after.abs())
    return found


def without_padding(values: Tensor, seen: Tensor) -> Tensor:
    """A map [T', H', W'] without the rows and columns that are padding for the most part. seen: bool [H, W], of which
    the rest is padding around a rectangle."""
    for axis in (1, 2):
        own = functional.adaptive_avg_pool1d(seen.any(2 - axis).double()[None], values.shape[axis])[0] > 0.5
        if bool(own.any()):
            values = values.index_select(axis, own.nonzero()[:, 0])
    return values


class ParameterRandomisationParameters(MeasureParameters):
    """Parameters of the sanity check."""

    seeds: Annotated[int, Field(ge=1, le=20, description="random networks that are averaged over")] = 3
    depths: Annotated[
        int, Field(ge=1, le=100, description="steps from the head down to the whole network; 1: the whole at once")
    ] = 4
    independent: Annotated[bool, Field(description="also each step's layers alone, the others as they were")] = True


class ParameterRandomisation(ExplainAgainMeasure[ParameterRandomisationParameters]):
    """Explains the clip again by networks with ever more random weights, from the head down, and compares the maps.

    Maps are compared on the grid that they were made on, without padding; the class stays the same. With depths = 1 and
    seeds = 1 it is Efficient MPRT: one network, and `complexity_rise` says as much in one number.
    """

    name = "parameter-randomisation"
    summary = (
        "rank correlation of the sizes in the map before and after all weights become random; lower is better, above "
        "0.7 the method fails: its map hardly depends on the network"
    )
    source = "Adebayo et al. 2018, Sanity Checks for Saliency Maps, 4.1; Hedstrom et al. 2023, Efficient MPRT"
    parameters = ParameterRandomisationParameters

    def unsupported(self, model: ActionModel) -> str | None:
        if isinstance(model.module, Opaque):
            return f"the network runs outside of torch: {model.module.reason}"
        return None if any(True for _ in model.module.parameters()) else "the network has no weights"

    def forwards(self, model: ActionModel, frames: int, parameters: ParameterRandomisationParameters) -> int:
        depths = parameters.depths
        return 1 + parameters.seeds * (2 * depths - 1 if parameters.independent else depths)

    def measure(
        self, subject: Subject, method: str, explain: Explain, parameters: ParameterRandomisationParameters
    ) -> Measured:
        model = subject.model
        before = _comparable(subject, explain(method, subject.clip))
        layers = layers_from_head(model.module, model.prepare([subject.clip]))
        groups = in_depths(layers, parameters.depths)
        found = _Similarities(before)
        for seed in range(parameters.seeds):
            weights = [
                shuffled_weights(model.module, group, subject.generator(seed, depth))
                for depth, group in enumerate(groups)
            ]
            for depth in range(len(groups)):
                changed = {name: own for group in weights[: depth + 1] for name, own in group.items()}
                found.explain(("cascading", depth + 1), subject, method, explain, with_weights(model, changed))
                if depth and parameters.independent:
                    single = with_weights(model, weights[depth])
                    found.explain(("independent", depth + 1), subject, method, explain, single)
                elif parameters.independent:  # of the head alone both are the same
                    found.copy(("cascading", 1), ("independent", 1))
        return found.measured(len(groups), parameters.independent and len(groups) > 1)


class _Similarities:
    """Maps compared so far, by the order and the depth to which weights were random."""

    def __init__(self, before: Tensor) -> None:
        self._before = before
        self._found: dict[tuple[str, int], dict[str, list[float]]] = {}
        self._reasons: dict[tuple[str, int], str] = {}

    def explain(self, at: tuple[str, int], subject: Subject, method: str, explain: Explain, model: ActionModel) -> None:
        own = self._found.setdefault(at, {})
        try:
            after = _comparable(subject, explain(method, subject.clip, model))
            if after.shape != self._before.shape:
                raise LeftOut("the random network's explanation has another shape")
            numbers = similarities(self._before, after)
            if "spearman_abs" not in numbers:
                raise LeftOut("an explanation is constant")
            numbers["complexity_rise"] = complexity_rise(self._before, after)
        except LeftOut as reason:
            self._reasons[at] = str(reason)
            return
        except RequestError as error:
            self._reasons[at] = error.message
            return
        for name, number in numbers.items():
            own.setdefault(name, []).append(number)

    def copy(self, source: tuple[str, int], to: tuple[str, int]) -> None:
        self._found[to] = self._found[source]

    def measured(self, depths: int, independent: bool) -> Measured:
        """Numbers of the whole network's randomisation, and of the head's alone; curves over the depths."""
        whole = ("cascading", depths)
        means = {name: sum(numbers) / len(numbers) for name, numbers in self._found[whole].items()}
        if not means:
            raise LeftOut(f"with all weights random: {self._reasons[whole]}")
        directions = {
            "spearman_abs": Better.LOWER,
            "spearman": Better.LOWER,
            "ssim": Better.LOWER,
            "complexity_rise": Better.HIGHER,
        }
        values = {name: Value(means[name], better) for name, better in directions.items() if name in means}
        if depths > 1 and (head := self._found[("cascading", 1)].get("spearman_abs")):
            values["head_spearman_abs"] = Value(sum(head) / len(head), Better.LOWER)
        left_out = {name: "the explanation has no such number" for name in directions if name not in means}
        curves = [
            curve
            for order in ("cascading", "independent")[: 1 + independent]
            for name in ("spearman_abs", "spearman", "ssim")
            if (curve := self._curve(order, name, depths)) is not None
        ]
        return Measured(values, left_out, tuple(curves))

    def _curve(self, order: str, name: str, depths: int) -> Curve | None:
        """The mean over seeds by depth; at 0, of the network as it is, 1."""
        points = {
            depth: numbers
            for depth in range(1, depths + 1)
            if (numbers := self._found.get((order, depth), {}).get(name))
        }
        if not points:
            return None
        x = (0.0, *(float(depth) for depth in points))
        y = (1.0, *(sum(numbers) / len(numbers) for numbers in points.values()))
        return Curve(f"{order}, {name}", "depth from the head", x, y)


def _comparable(subject: Subject, attribution: Attribution) -> Tensor:
    """What is compared: map [T', H', W'] without padding, relevance matrix [T', N], or values of frames [T]."""
    match attribution:
        case SaliencyVolume():
            return without_padding(native_map(attribution), subject.seen)
        case RelevanceMatrix(values=values):
            if not bool(values.isfinite().all()):
                raise LeftOut("the explanation has values that are not finite")
            return values
        case _:
            return frame_values(subject, attribution)


MEASURES = (ParameterRandomisation(),)
