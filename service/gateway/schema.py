"""Describes messages as the page needs them to read and write protobuf: by names, numbers and types."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor

_SCALARS = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
}


def make_schema(*services: ServiceDescriptor) -> bytes:
    """Make the schema of these services from their descriptors.

    JSON: {"messages": {name: {field: [number, type, "" | "repeated" | "optional"]}}, "calls": {name: [in, out]},
    "enums": {name: {value: number}}}.
    type: a scalar's name, "enum:NAME" or a message's name; map fields are repeated entries.
    """
    messages: dict[str, Any] = {}
    enums: dict[str, Any] = {}
    calls = {}
    for service in services:
        for method in service.methods:
            calls[method.name] = [method.input_type.full_name, method.output_type.full_name]
            for kind in (method.input_type, method.output_type):
                _add(kind, messages, enums)
    return json.dumps({"messages": messages, "calls": calls, "enums": enums}, separators=(",", ":")).encode()


def _add(message: Descriptor, messages: dict[str, Any], enums: dict[str, Any]) -> None:
    if message.full_name in messages:
        return
    fields = messages[message.full_name] = {}
    for field in message.fields:
        if field.message_type is not None:
            kind = field.message_type.full_name
            _add(field.message_type, messages, enums)
        elif field.enum_type is not None:
            kind = f"enum:{field.enum_type.full_name}"
            enums[field.enum_type.full_name] = {value.name: value.number for value in field.enum_type.values}
        else:
            kind = _SCALARS[field.type]
        rank = "repeated" if field.is_repeated else "optional" if field.has_presence else ""
        fields[field.name] = [field.number, kind, rank]
