"""Checks the values of a method's parameters against its description."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

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


def check_struct(given: Struct, described: Sequence[model_pb2.Parameter], path: str) -> None:
    """Check parameters by name, written at `path`: known, of their type, within their bounds, one of their choices.

    One number will do where several may be. Raises InvalidArgument naming the parameter.
    """
    known = {parameter.name: parameter for parameter in described}
    for name in sorted(given.fields):
        where = f"{path}.{name}"
        parameter = known.get(name)
        if parameter is None:
            near = get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known) or 'none'}"
            raise InvalidArgument(f"{where}: is no parameter; {hint}", field=where, reason="UNKNOWN_PARAMETER")
        _check(_plain(given.fields[name], parameter, where), parameter, where)


def _plain(value: Value, parameter: model_pb2.Parameter, path: str) -> Any:
    """The value as the parameter's type. Raises InvalidArgument for another one."""
    match value.WhichOneof("kind"), parameter.type:
        case "number_value", "number":
            return value.number_value
        case "number_value", "numbers":
            return [value.number_value]
        case "list_value", "numbers" if all(entry.HasField("number_value") for entry in value.list_value.values):
            return [entry.number_value for entry in value.list_value.values]
        case "string_value", "string":
            return value.string_value
        case "bool_value", "bool":
            return value.bool_value
    raise _bad(path, f"is no {'list of numbers' if parameter.type == 'numbers' else parameter.type}")


def _check(value: Any, parameter: model_pb2.Parameter, path: str) -> None:
    if parameter.type == "string" and parameter.choices and value not in parameter.choices:
        raise _bad(path, f"{value!r} is not one of {', '.join(parameter.choices)}")
    if parameter.type == "number":
        _check_number(value, parameter, path)
    if parameter.type == "numbers":
        entries: Sequence[float] = value
        if parameter.most_entries and len(entries) > parameter.most_entries:
            raise _bad(path, f"{len(entries)} numbers; give at most {parameter.most_entries}")
        if len(entries) < parameter.fewest_entries:
            raise _bad(path, f"{len(entries)} numbers; give at least {parameter.fewest_entries}")
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
    if not math.isfinite(value):
        raise _bad(path, f"{_say(value)} is not a finite number; use {_allowed(parameter)}")
    if parameter.whole and value != math.floor(value):
        raise _bad(path, f"{_say(value)} is not a whole number; use {_allowed(parameter)}")
    low = parameter.minimum if parameter.HasField("minimum") else None
    high = parameter.maximum if parameter.HasField("maximum") else None
    too_low = low is not None and (value < low or (parameter.above_minimum and value == low))
    too_high = high is not None and (value > high or (parameter.below_maximum and value == high))
    if too_low or too_high:
        raise _bad(path, f"{_say(value)} is out of range; use {_allowed(parameter)}")


def _say(value: float) -> str:
    """Short, but for a number that would look like another one: a bound that it only just misses."""
    short = f"{value:g}"
    return short if float(short) == value or not math.isfinite(value) else repr(value)


def _allowed(parameter: model_pb2.Parameter) -> str:
    """The bounds, in words."""
    allowed = []
    if parameter.HasField("minimum"):
        allowed.append(f"{'more than' if parameter.above_minimum else 'at least'} {parameter.minimum:g}")
    if parameter.HasField("maximum"):
        allowed.append(f"{'less than' if parameter.below_maximum else 'at most'} {parameter.maximum:g}")
    return " and ".join(allowed) or "another"


def _bad(path: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"{path}: {why}", field=path, reason="BAD_PARAMETER")
