"""Measures that tests can work out by hand, one of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pytest
import torch
from pydantic import Field

from handlers.evaluation import evaluation_plan, measure_registry
from handlers.evaluation.common.perturbed_clips import ModelScore
from handlers.evaluation.measure import (
    AgreementMeasure,
    Better,
    ClipMeasure,
    ExplainAgainMeasure,
    LeftOut,
    MapMeasure,
    Measure,
    Measured,
    MeasureParameters,
    Value,
)
from handlers.evaluation.subject import Explain, Subject
from handlers.explainers.attribution import Attribution, Curve, FrameAttribution, SaliencyVolume
from handlers.models.action_model import ActionModel


class NoParameters(MeasureParameters):
    """None."""


class ShareParameters(MeasureParameters):
    """Parameters of `Share`."""

    power: Annotated[float, Field(gt=0, le=4, description="of the values")] = 1.0
    shares: Annotated[tuple[float, ...], Field(max_length=3)] = (0.5,)


class Share(MapMeasure[ShareParameters]):
    """The share of an explanation that lies in the first half of its values; one forward."""

    name = "share"
    summary = "of the values"
    source = "none"
    parameters = ShareParameters
    random_draws = 3

    def forwards(self, model: ActionModel, frames: int, parameters: ShareParameters) -> int:
        return len(parameters.shares)

    def measure(self, subject: Subject, attribution: Attribution, parameters: ShareParameters) -> Measured:
        values = attribution.values.double().abs().flatten() ** parameters.power
        if not values.sum():
            raise LeftOut("the explanation is 0 everywhere")
        half = float(values[: len(values) // 2].sum() / values.sum())
        seen = float(ModelScore(subject.model)(subject.model.prepare([subject.clip]))[0, subject.target.index])
        curve = Curve("score", "step", (0.0, 1.0), (half, seen), "probability")
        found = {"share": Value(half, Better.HIGHER), "seen": Value(seen, Better.NEITHER, "probability")}
        return Measured(found, {"third": "there are two halves"}, (curve,), {"first": values[:2].float()})

    def baselines(self, subject: Subject, parameters: ShareParameters) -> Mapping[str, Attribution]:
        return {"centre": FrameAttribution(torch.tensor([1.0, 3.0]))}


class Covered(MapMeasure[NoParameters]):
    """The share of a map that lies on the objects; a random explanation is rarely below 0."""

    name = "covered"
    summary = "on the objects"
    source = "none"
    parameters = NoParameters
    needs = frozenset({"objects"})
    random_draws = 2

    def forwards(self, model: ActionModel, frames: int, parameters: NoParameters) -> int:
        return 0

    def measure(self, subject: Subject, attribution: Attribution, parameters: NoParameters) -> Measured:
        assert subject.truth.objects is not None
        if not isinstance(attribution, SaliencyVolume) or attribution.values.shape != subject.truth.objects.shape:
            raise LeftOut("it is no map of pixels")
        values = attribution.values.double().abs()
        number = float(values[subject.truth.objects].sum() / values.sum())
        return Measured({"covered": Value(100 * number, Better.HIGHER, "%")})


class Chance(ClipMeasure[NoParameters]):
    """The target's probability, and what is not finite."""

    name = "chance"
    summary = "of the target"
    source = "none"
    parameters = NoParameters

    def forwards(self, model: ActionModel, frames: int, parameters: NoParameters) -> int:
        return 0

    def measure(self, subject: Subject, parameters: NoParameters) -> Measured:
        return Measured({"chance": Value(subject.probability), "endless": Value(float("inf"))})


class Together(AgreementMeasure[NoParameters]):
    """How many explanations there are."""

    name = "together"
    summary = "how many"
    source = "none"
    parameters = NoParameters

    def forwards(self, model: ActionModel, frames: int, parameters: NoParameters) -> int:
        return 0

    def measure(self, subject: Subject, attributions: Mapping[str, Attribution], parameters: NoParameters) -> Measured:
        return Measured({name: Value(float(found.values.sum())) for name, found in attributions.items()})


class Reversed(ExplainAgainMeasure[NoParameters]):
    """The sum of the explanation of the reversed clip."""

    name = "reversed"
    summary = "the sum"
    source = "none"
    parameters = NoParameters

    def forwards(self, model: ActionModel, frames: int, parameters: NoParameters) -> int:
        return 1

    def measure(self, subject: Subject, method: str, explain: Explain, parameters: NoParameters) -> Measured:
        return Measured({"sum": Value(float(explain(method, subject.clip[::-1].copy()).values.sum()))})


class Broken(ClipMeasure[NoParameters]):
    """Fails."""

    name = "broken"
    summary = "fails"
    source = "none"
    parameters = NoParameters

    def unsupported(self, model: ActionModel) -> str | None:
        return "it cannot" if model.card.name == "other" else None

    def forwards(self, model: ActionModel, frames: int, parameters: NoParameters) -> int:
        return 0

    def measure(self, subject: Subject, parameters: NoParameters) -> Measured:
        raise ZeroDivisionError


SMALL: dict[str, Measure[Any]] = {
    entry.name: entry for entry in (Share(), Covered(), Chance(), Together(), Reversed(), Broken())
}


@pytest.fixture
def small_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """These measures in place of the real ones."""
    for module in (measure_registry, evaluation_plan):
        monkeypatch.setattr(module, "measures", lambda: SMALL)
