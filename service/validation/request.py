"""Checks requests, without pixels. Generic over the messages: a new method or parameter needs no change here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from actionlens.v1 import method_pb2, model_pb2
from service.errors import FailedPrecondition, InvalidArgument
from service.printable import has_controls, printable
from service.validation.parameters import check_parameters

MAX_METHODS = 16
EVALUATE = "evaluate"
"""The one method that explains nothing: it measures explanations."""

_MAX_TEXT = 256
_MAX_ENTRIES = 64
# Lists that are long: each has a bound of its own that its owner checks and explains; this one is for what walks it.
_MANY = 100_000
_ENTRIES = {
    "actionlens.v1.CreateJobRequest.clips": _MANY,
    "actionlens.v1.EncodedFrames.timestamps": _MANY,
    "actionlens.v1.Evaluate.measures": 1000,
    "actionlens.v1.Evaluate.methods": 1000,
    "actionlens.v1.GroundTruth.boxes": _MANY,
    "actionlens.v1.IndexSampling.values": _MANY,
    "actionlens.v1.Masks.frames": _MANY,
    "actionlens.v1.RawFrames.timestamps": _MANY,
    "actionlens.v1.ListJobsRequest.states": 10 * _MANY,
    "actionlens.v1.ListJobClipsRequest.states": 10 * _MANY,
}
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)


def method_name(method: method_pb2.Method) -> str:
    """Return the method's name as people write it, "grad-cam"; empty when no method is set."""
    return (method.WhichOneof("method") or "").replace("_", "-")


def check_message(message: Message, path: str = "") -> None:
    """Check every set field: few entries, numbers finite, enum values known, texts at most 256 characters and without
    control characters.

    Raises InvalidArgument naming the field, written below `path` ("methods[1].selective_relevance.threshold").
    """
    for field, value in message.ListFields():
        name = f"{path}.{field.name}" if path else field.name
        if field.is_repeated and field.type != FieldDescriptor.TYPE_BYTES:
            check_entries(field, len(value), name)
        if isinstance(value, Struct):
            _check_struct(value, name)
            continue
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            for entry_path, entry in _entries(name, value):
                check_message(entry, entry_path)
        elif field.cpp_type in _FLOATS:
            if field.is_repeated and all(map(math.isfinite, value)):
                continue
            for entry_path, number in _entries(name, value):
                _check_finite(number, entry_path)
        elif field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
            known = field.enum_type.values_by_number if field.enum_type is not None else {}
            if field.is_repeated and all(number in known for number in set(value)):
                continue
            for entry_path, number in _entries(name, value):
                _check_enum(field, number, entry_path)
        elif field.type == FieldDescriptor.TYPE_STRING:
            for entry_path, text in _entries(name, value):
                check_text(text, entry_path)


def check_entries(field: FieldDescriptor, count: int, path: str) -> None:
    """Check how many entries a list has, before anything looks at each. Raises InvalidArgument."""
    most = _ENTRIES.get(field.full_name, _MAX_ENTRIES)
    if count > most:
        raise InvalidArgument(f"{path}: {count} entries; use at most {most}", field=path, reason="TOO_MANY_ENTRIES")


def check_methods(methods: Sequence[method_pb2.Method], model: model_pb2.Model, path: str) -> None:
    """Check the methods of a live request. Raises as `check_method`, and InvalidArgument for more than 16."""
    if len(methods) > MAX_METHODS:
        raise InvalidArgument(
            f"{path}: {len(methods)} methods; ask for at most {MAX_METHODS}", field=path, reason="TOO_MANY_METHODS"
        )
    for index, method in enumerate(methods):
        check_method(method, model, f"{path}[{index}]")


def check_method(method: method_pb2.Method, model: model_pb2.Model, path: str, *, job: bool | None = False) -> None:
    """Check that a method, written at `path` in the request, can explain this model as it is asked to.

    job: whether it is to run as a job; None: either will do. Raises InvalidArgument when no method is set and for a
    parameter out of range, FailedPrecondition for a method that cannot explain the model, with the reason and the
    methods that can, and for one that belongs to the other kind of request.
    """
    supported = {entry.method: entry for entry in model.methods}
    fitting = (name for name, entry in supported.items() if entry.supported and job in (None, entry.job))
    able = ", ".join(fitting) or "none"
    name, chosen = method_name(method), method.WhichOneof("method")
    if not chosen:
        known = ", ".join(field.name for field in method.DESCRIPTOR.oneofs_by_name["method"].fields)
        raise InvalidArgument(f"{path}: names no method; set one of {known}", field=path, reason="METHOD_UNSET")
    field = f"{path}.{chosen}"
    if chosen == EVALUATE:
        raise FailedPrecondition(
            f"{path}: evaluate is no explanation; CreateJob (`actionlens evaluate`) runs it; methods that fit here: "
            f"{able}",
            field=field,
            reason="RUNS_AS_JOB",
        )
    entry = supported.get(name)
    if entry is None or not entry.supported:
        why = entry.reason if entry is not None else "the worker does not know this method"
        raise FailedPrecondition(
            f"{path}: {name} cannot explain {model.name}: {why}; methods that can: {able}", field=field
        )
    if job not in (None, entry.job):
        where = (
            "is too expensive for a live answer; CreateJob (`actionlens jobs submit`) runs it"
            if entry.job
            else "needs no job: ExplainClip (`actionlens explain`) runs it"
        )
        raise FailedPrecondition(
            f"{path}: {name} {where}; methods that fit here: {able}",
            field=field,
            reason="RUNS_AS_JOB" if entry.job else "RUNS_LIVE",
        )
    check_parameters(getattr(method, chosen), entry, field)


def resolve_target(target: method_pb2.Target, model: model_pb2.Model, path: str) -> method_pb2.Target:
    """Resolve a target's labels to class numbers. Text that is no label is a number where no label is one.

    Raises InvalidArgument for an unknown label (with near matches), a number that is no class, a contrast without a
    class, and a contrast that is the explained class.
    """
    resolved = method_pb2.Target()
    for name in ("explained", "contrast"):
        if target.HasField(name):
            selector = getattr(target, name)
            field = f"{path}.{name}"
            if selector.WhichOneof("selector") is not None:
                getattr(resolved, name).index = class_index(selector, model, field)
            elif name == "contrast":
                raise InvalidArgument(f"{field}: names no class; set index or label", field=field)
    if resolved.HasField("contrast") and resolved.HasField("explained") and resolved.contrast == resolved.explained:
        raise InvalidArgument(
            f"{path}.contrast: is the explained class itself, {model.labels[resolved.contrast.index]!r}; name another",
            field=f"{path}.contrast",
            reason="CONTRAST_IS_TARGET",
        )
    return resolved


_MOST = 2**32 - 1
"""The largest number of a class in a message."""


def class_index(selector: method_pb2.ClassSelector, model: model_pb2.Model, path: str) -> int:
    """The number of a class that is written at `path`. Raises InvalidArgument as `resolve_target`."""
    labels = list(model.labels)
    if selector.WhichOneof("selector") == "index":
        if selector.index >= len(labels):
            raise InvalidArgument(
                f"{path}.index: {selector.index} is not a class; {model.name} has 0 to {len(labels) - 1}",
                field=f"{path}.index",
                reason="UNKNOWN_CLASS",
            )
        return selector.index
    if selector.label in labels:
        return labels.index(selector.label)
    if selector.label.isdecimal() and not any(label.isdecimal() for label in labels):
        # Written by people: a number that is no label is a class's. Where labels are numbers it is a wrong label.
        return class_index(method_pb2.ClassSelector(index=min(int(selector.label), _MOST)), model, path)
    by_folded = {label.casefold(): label for label in labels}
    near = get_close_matches(selector.label.casefold(), by_folded, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(by_folded[key]) for key in near)}?" if near else "GetModel lists the labels"
    raise InvalidArgument(
        f"{path}.label: {selector.label!r} is not a class of {model.name}; {hint}",
        field=f"{path}.label",
        reason="UNKNOWN_CLASS",
    )


def _check_finite(number: float, path: str) -> None:
    if not math.isfinite(number):
        raise InvalidArgument(f"{path}: {number} is not a finite number", field=path)


def check_text(text: str, path: str) -> None:
    """Check a text of a client: at most 256 characters, none of them a control character. Raises InvalidArgument."""
    if len(text) > _MAX_TEXT:
        raise InvalidArgument(
            f"{path}: {len(text)} characters; use at most {_MAX_TEXT}", field=path, reason="TEXT_TOO_LONG"
        )
    if "\0" in text:  # databases and file systems would refuse it one by one, each in its own way
        raise InvalidArgument(f"{path}: holds a null character", field=path, reason="NULL_CHARACTER")
    if has_controls(text):  # terminals and logs would obey them
        raise InvalidArgument(
            f"{path}: {printable(text)!r} holds a control character", field=path, reason="CONTROL_CHARACTER"
        )


def _check_struct(given: Struct, path: str) -> None:
    """Check values by name: texts, finite numbers, booleans and lists of them; few enough."""
    if len(given.fields) > _MAX_ENTRIES:
        raise InvalidArgument(f"{path}: {len(given.fields)} values; use at most {_MAX_ENTRIES}", field=path)
    for name in sorted(given.fields):
        check_text(name, path)
        _check_value(given.fields[name], f"{path}.{name}")


def _check_value(value: Value, path: str, *, within: bool = False) -> None:
    match value.WhichOneof("kind"):
        case "number_value":
            _check_finite(value.number_value, path)
        case "string_value":
            check_text(value.string_value, path)
        case "bool_value":
            pass
        case "list_value" if not within:
            entries = value.list_value.values
            if len(entries) > _MAX_ENTRIES:
                raise InvalidArgument(f"{path}: {len(entries)} values; use at most {_MAX_ENTRIES}", field=path)
            for index, entry in enumerate(entries):
                _check_value(entry, f"{path}[{index}]", within=True)
        case _:
            raise InvalidArgument(f"{path}: is no text, number, boolean or list of them", field=path)


def _entries(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    """List the entries of a field with their paths: one, or one per element of a repeated field."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ((f"{name}[{index}]", entry) for index, entry in enumerate(value))
    return [(name, value)]


def _check_enum(field: FieldDescriptor, number: int, path: str) -> None:
    known = field.enum_type.values_by_number if field.enum_type is not None else {}
    if number not in known:
        raise InvalidArgument(
            f"{path}: {number} is not one of {', '.join(value.name for value in known.values())}",
            field=path,
            reason="UNKNOWN_VALUE",
        )
