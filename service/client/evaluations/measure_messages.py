"""Makes messages of evaluations: methods and measures as people write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct

from actionlens.v1 import method_pb2
from service.client.method_messages import MethodLike, method_messages, parse
from service.errors import InvalidArgument

MeasureLike = str | Mapping[str, Mapping[str, Any]] | method_pb2.Measure
"""A measure: "insertion", "insertion:steps=64,blank=blur", {"insertion": {"steps": 64}}."""


def evaluation(
    methods: Iterable[MethodLike],
    measures: Iterable[MeasureLike],
    *,
    correct_only: bool = False,
    min_score: float | None = None,
    draws: int | None = None,
) -> method_pb2.Method:
    """The method of a job that measures explanations.

    correct_only: leave clips out whose top-1 class is not their label. min_score: and those where the explained class
    has a lower probability. draws: random explanations that the baseline is averaged over; None: as each measure says.
    Raises InvalidArgument naming the field, "method.evaluate.measures[1]".
    """
    if isinstance(measures, str | Mapping | method_pb2.Measure):
        measures = [measures]
    asked = [_measure(measure, f"method.evaluate.measures[{index}]") for index, measure in enumerate(measures)]
    try:
        explaining = method_messages(methods)
    except InvalidArgument as error:
        message, field = f"method.evaluate.{error.message}", f"method.evaluate.{error.field}"
        raise InvalidArgument(message, field=field, reason=error.reason) from None
    return method_pb2.Method(
        evaluate=method_pb2.Evaluate(
            methods=explaining,
            measures=asked,
            correct_only=correct_only,
            min_score=min_score,
            draws=_count(draws, "method.evaluate.draws"),
        )
    )


def _measure(measure: MeasureLike, path: str) -> method_pb2.Measure:
    if isinstance(measure, method_pb2.Measure):
        return measure
    if isinstance(measure, str):
        name, given = parse(measure, path)
        parameters: Mapping[str, Any] = {key: _value(value) for key, value in given.items()}
    else:
        if len(measure) != 1:
            raise InvalidArgument(
                f"{path}: write one measure per mapping, {{'insertion': {{}}}}; got {list(measure)}",
                field=path,
                reason="BAD_MEASURE",
            )
        ((name, parameters),) = measure.items()
    struct = Struct()
    try:
        struct.update({key.replace("-", "_"): _listed(value) for key, value in parameters.items()})
    except ValueError as error:
        raise InvalidArgument(
            f"{path}.parameters: {error}", field=f"{path}.parameters", reason="BAD_PARAMETER"
        ) from None
    return method_pb2.Measure(name=name, parameters=struct if parameters else None)


def _value(text: str) -> Any:
    """A parameter's text as a boolean, a number, numbers ("1+2+5"), or itself."""
    if text in ("true", "false"):
        return text == "true"
    try:
        numbers = [float(part) for part in text.split("+")]
    except ValueError:
        return text
    return numbers if len(numbers) > 1 else numbers[0]


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _count(number: int | None, path: str) -> int | None:
    if number is not None and not 0 <= number < 2**32:
        raise InvalidArgument(f"{path}: {number} is no whole number from 0", field=path, reason="BAD_PARAMETER")
    return number
