"""What an evaluation is asked for: methods and measures by name, checked against the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_origin

from pydantic import ValidationError

from handlers.engine.engine import MethodCall
from handlers.errors import FAILED_PRECONDITION, RequestError
from handlers.evaluation.measure import (
    AgreementMeasure,
    ClipMeasure,
    ExplainAgainMeasure,
    MapMeasure,
    Measure,
    MeasureParameters,
)
from handlers.evaluation.measure_registry import measure
from handlers.models.action_model import ActionModel


@dataclass(frozen=True)
class MeasureCall:
    """A measure by name with its parameters, unset ones at their defaults."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationRequest:
    """See actionlens.v1.Evaluate. draws: random explanations per measure; None: as many as the measure says."""

    methods: Sequence[MethodCall]
    measures: Sequence[MeasureCall]
    correct_only: bool = False
    min_score: float = 0.0
    draws: int | None = None


@dataclass(frozen=True)
class AskedMeasure:
    """A measure with its checked parameters. text: as the user wrote it, "insertion:steps=64"."""

    text: str
    measure: Measure[Any]
    parameters: MeasureParameters

    def draws(self, asked: int | None) -> int:
        """How many random explanations it is taken of."""
        if not isinstance(self.measure, MapMeasure):
            return 0
        return self.measure.random_draws if asked is None else asked


def text_of(name: str, parameters: Mapping[str, Any]) -> str:
    """A method or a measure as people write it: "selective-relevance:threshold=3,signed=true"."""
    given = ",".join(f"{key}={_value(value)}" for key, value in parameters.items())
    return f"{name}:{given}" if given else name


def asked_measures(request: EvaluationRequest, model: ActionModel, path: str) -> list[AskedMeasure]:
    """The measures with their parameters, in the request's order.

    path: of the request in the client's message, "methods[0].evaluate". Raises RequestError, naming the field, for a
    measure that is unknown or cannot be taken on the model, and for parameters that do not fit.
    """
    return [_asked(call, model, f"{path}.measures[{index}]") for index, call in enumerate(request.measures)]


def subject_of(measured: Measure[Any]) -> str:
    """What a measure is of: "explanation", "clip", "explanations" or "method"."""
    match measured:
        case MapMeasure():
            return "explanation"
        case ClipMeasure():
            return "clip"
        case AgreementMeasure():
            return "explanations"
        case ExplainAgainMeasure():
            return "method"
        case _:
            raise TypeError(f"{type(measured).__name__} is no kind of measure")


def _asked(call: MeasureCall, model: ActionModel, path: str) -> AskedMeasure:
    try:
        chosen = measure(call.name)
    except RequestError as error:
        raise RequestError(f"{path}.name: {error.message}", field=f"{path}.name", reason=error.reason) from None
    if reason := chosen.unsupported(model):
        raise RequestError(
            f"{path}: {call.name} cannot be taken on {model.card.name}: {reason}",
            field=path,
            reason="MEASURE_UNSUPPORTED",
            code=FAILED_PRECONDITION,
        )
    try:
        parameters = chosen.parameters.model_validate(_shaped(chosen.parameters, call.parameters))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join((f"{path}.parameters", *(str(part) for part in first["loc"])))
        raise RequestError(f"{where}: {first['msg']}", field=where, reason="BAD_PARAMETER") from None
    return AskedMeasure(text_of(call.name, call.parameters), chosen, parameters)


def _shaped(kind: type[MeasureParameters], given: Mapping[str, Any]) -> dict[str, Any]:
    """One number where several are taken is a list of one."""
    fields = kind.model_fields
    return {
        name: [value]
        if isinstance(value, int | float) and name in fields and get_origin(fields[name].annotation) in (list, tuple)
        else value
        for name, value in given.items()
    }


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        case list() | tuple():
            return "+".join(map(_value, value))
        case _:
            return str(value)
