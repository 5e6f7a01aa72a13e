"""Checks the values of a method's parameters against its description."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message

from actionlens.v1 import model_pb2
from service.errors import InvalidArgument


def check_parameters(chosen: Message, support: model_pb2.MethodSupport, path: str) -> None:
    """Check the parameters that are set: within their bounds, one of their choices.

    chosen: the method's own message, written at `path`. Raises InvalidArgument naming the parameter. What a
    description cannot say (a layer's name, two values that do not fit together) is left to the worker.
    """
    described = {parameter.name: parameter for parameter in support.parameters}
    for field, value in chosen.ListFields():
        parameter = described.get(field.name)
        if parameter is not None:
            _check(value, parameter, f"{path}.{field.name}")


def _check(value: Any, parameter: model_pb2.Parameter, path: str) -> None:
    if parameter.type == "string" and parameter.choices and value not in parameter.choices:
        raise _bad(path, f"{value!r} is not one of {', '.join(parameter.choices)}")
    if parameter.type == "number":
        _check_number(value, parameter, path)
    if parameter.type == "numbers":
        entries: Sequence[float] = value
        if parameter.most_entries and len(entries) > parameter.most_entries:
            raise _bad(path, f"{len(entries)} numbers; give at most {parameter.most_entries}")
        seen: dict[str, int] = {}
        for index, entry in enumerate(entries):
            _check_number(entry, parameter, f"{path}[{index}]")
            before = seen.setdefault(f"{entry:g}", index)
            if before != index:
                raise _bad(
                    f"{path}[{index}]",
                    f"{entry:g} is {parameter.name}[{before}] too; each makes results of its own name",
                )


def _check_number(value: float, parameter: model_pb2.Parameter, path: str) -> None:
    low = parameter.minimum if parameter.HasField("minimum") else None
    high = parameter.maximum if parameter.HasField("maximum") else None
    too_low = low is not None and (value < low or (parameter.above_minimum and value == low))
    too_high = high is not None and (value > high or (parameter.below_maximum and value == high))
    if too_low or too_high:
        allowed = []
        if low is not None:
            allowed.append(f"{'more than' if parameter.above_minimum else 'at least'} {low:g}")
        if high is not None:
            allowed.append(f"{'less than' if parameter.below_maximum else 'at most'} {high:g}")
        raise _bad(path, f"{value:g} is out of range; use {' and '.join(allowed)}")


def _bad(path: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"{path}: {why}", field=path, reason="BAD_PARAMETER")
