"""Checks what an evaluation asks for, without clips."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from google.protobuf.message import Message

from actionlens.v1 import method_pb2, model_pb2
from service.errors import FailedPrecondition, InvalidArgument
from service.validation.parameters import check_struct
from service.validation.request import MAX_METHODS, check_method

MAX_MEASURES = 32
MAX_DRAWS = 20
_OF_THE_CLIP = "clip"


def check_evaluate(evaluate: method_pb2.Evaluate, model: model_pb2.Model, path: str) -> None:
    """Check that explanations by these methods can be measured so on this model; `path`: "method.evaluate".

    Raises InvalidArgument naming the field, and FailedPrecondition for methods and measures that the model does not
    support.
    """
    _check_count(len(evaluate.measures), MAX_MEASURES, f"{path}.measures")
    if not evaluate.measures:
        known = ", ".join(entry.measure for entry in model.measures if entry.supported) or "none"
        raise InvalidArgument(
            f"{path}.measures: names none; {model.name} has {known}", field=f"{path}.measures", reason="NO_MEASURES"
        )
    described = {entry.measure: entry for entry in model.measures}
    for index, measure in enumerate(evaluate.measures):
        _check_measure(measure, described, model, f"{path}.measures[{index}]")
    _check_distinct(evaluate.measures, f"{path}.measures")
    _check_count(len(evaluate.methods), MAX_METHODS, f"{path}.methods")
    for index, method in enumerate(evaluate.methods):
        check_method(method, model, f"{path}.methods[{index}]", job=None)
    _check_distinct(evaluate.methods, f"{path}.methods")
    if not evaluate.methods and any(described[entry.name].subject != _OF_THE_CLIP for entry in evaluate.measures):
        raise InvalidArgument(
            f"{path}.methods: names none; these measures are of explanations",
            field=f"{path}.methods",
            reason="METHOD_UNSET",
        )
    if not 0 <= evaluate.min_score <= 1:
        raise InvalidArgument(
            f"{path}.min_score: {evaluate.min_score:g} is no probability; use 0 to 1", field=f"{path}.min_score"
        )
    if evaluate.draws > MAX_DRAWS:
        raise InvalidArgument(
            f"{path}.draws: {evaluate.draws} random explanations; use at most {MAX_DRAWS}", field=f"{path}.draws"
        )


def _check_measure(
    measure: method_pb2.Measure, described: dict[str, model_pb2.MeasureSupport], model: model_pb2.Model, path: str
) -> None:
    entry = described.get(measure.name)
    if entry is None:
        near = get_close_matches(measure.name, described, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(described) or 'none'}"
        raise InvalidArgument(
            f"{path}.name: {measure.name!r} is not a measure; {hint}", field=f"{path}.name", reason="UNKNOWN_MEASURE"
        )
    if not entry.supported:
        raise FailedPrecondition(
            f"{path}: {measure.name} cannot be taken on {model.name}: {entry.reason}",
            field=path,
            reason="MEASURE_UNSUPPORTED",
        )
    check_struct(measure.parameters, entry.parameters, f"{path}.parameters")


def _check_count(count: int, most: int, path: str) -> None:
    if count > most:
        raise InvalidArgument(f"{path}: {count}; ask for at most {most}", field=path, reason="TOO_MANY_METHODS")


def _check_distinct(entries: Iterable[Message], path: str) -> None:
    seen: dict[bytes, int] = {}
    for index, entry in enumerate(entries):
        before = seen.setdefault(entry.SerializeToString(deterministic=True), index)
        if before != index:
            raise InvalidArgument(
                f"{path}[{index}]: is {path.rpartition('.')[2]}[{before}] again; rows would have one name",
                field=f"{path}[{index}]",
                reason="ASKED_TWICE",
            )
