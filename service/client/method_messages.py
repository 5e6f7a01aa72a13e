"""Makes typed messages of methods as people write them. Generic over the protos: a new method needs no change."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from actionlens.v1 import method_pb2
from service.errors import InvalidArgument

MethodLike = str | Mapping[str, Mapping[str, Any]] | method_pb2.Method
"""A method: "grad-cam", "selective-relevance:threshold=3,base=grad-cam",
"st-perturbation:areas=0.05+0.1", {"selective-relevance": {"threshold": 3}}."""

_BOOLEANS = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}


def method_names() -> list[str]:
    """The methods that this client knows, as people write them; not "evaluate", which explains nothing."""
    return [_dashed(name) for name in _fields(method_pb2.Method) if name != "evaluate"]


def method_messages(methods: Iterable[MethodLike]) -> list[method_pb2.Method]:
    """Typed messages of several methods. Raises InvalidArgument naming "methods[1].selective_relevance.threshold"."""
    if isinstance(methods, str | Mapping | method_pb2.Method):
        methods = [methods]
    return [_message(method, f"methods[{index}]") for index, method in enumerate(methods)]


def _message(method: MethodLike, path: str) -> method_pb2.Method:
    if isinstance(method, method_pb2.Method):
        return method
    if isinstance(method, str):
        name, parameters = parse(method, path)
    else:
        if len(method) != 1:
            raise InvalidArgument(
                f"{path}: write one method per mapping, {{'grad-cam': {{}}}}; got {list(method)}",
                field=path,
                reason="BAD_METHOD",
            )
        (name, given), *_ = method.items()
        parameters = dict(given)
    known = _fields(method_pb2.Method)
    field = known.get(name.replace("-", "_"))
    if field is None:
        raise InvalidArgument(
            f"{path}: {name!r} is not a method; {_near(name, method_names())}", field=path, reason="UNKNOWN_METHOD"
        )
    message = method_pb2.Method()
    chosen: Message = getattr(message, field.name)
    chosen.SetInParent()
    allowed = _fields(type(chosen))
    for key, value in parameters.items():
        parameter = allowed.get(key.replace("-", "_"))
        where = f"{path}.{field.name}.{key}"
        if parameter is None:
            raise InvalidArgument(
                f"{where}: {name} has no parameter {key!r}; {_near(key, list(allowed))}",
                field=where,
                reason="UNKNOWN_PARAMETER",
            )
        _set(chosen, parameter, value, where)
    return message


def parse(text: str, path: str) -> tuple[str, dict[str, str]]:
    """A name and its parameters' texts, of "name:key=value,key=value". Raises InvalidArgument for what is none."""
    name, _, rest = text.partition(":")
    parameters: dict[str, str] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise InvalidArgument(
                f"{path}: {part!r} is not a parameter; write {name}:NAME=VALUE,NAME=VALUE",
                field=path,
                reason="BAD_METHOD",
            )
        parameters[key.strip()] = value.strip()
    return name.strip(), parameters


def _set(message: Message, field: FieldDescriptor, value: Any, where: str) -> None:
    """Set one parameter from a Python value or from text."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL and isinstance(value, str):
        value = _BOOLEANS.get(value.lower(), value)
    if field.is_repeated and isinstance(value, str):
        value = value.split("+")  # commas are between parameters
    try:
        json_format.ParseDict({field.name: value}, message)
        stored = getattr(message, field.name)
        if isinstance(stored, float) and not math.isfinite(stored):
            raise json_format.ParseError
    except json_format.ParseError:
        raise InvalidArgument(
            f"{where}: {value!r} is not a {_KINDS.get(field.cpp_type, 'value that fits')}",
            field=where,
            reason="BAD_PARAMETER",
        ) from None


_KINDS = {
    FieldDescriptor.CPPTYPE_BOOL: "bool (true or false)",
    FieldDescriptor.CPPTYPE_DOUBLE: "finite number",
    FieldDescriptor.CPPTYPE_FLOAT: "finite number",
    FieldDescriptor.CPPTYPE_INT32: "whole number",
    FieldDescriptor.CPPTYPE_INT64: "whole number",
    FieldDescriptor.CPPTYPE_UINT32: "whole number, 0 or more",
    FieldDescriptor.CPPTYPE_UINT64: "whole number, 0 or more",
    FieldDescriptor.CPPTYPE_STRING: "string",
}


def _fields(kind: type[Message]) -> dict[str, FieldDescriptor]:
    fields: Sequence[Any] = kind.DESCRIPTOR.fields
    return {field.name: field for field in fields}


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _near(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
