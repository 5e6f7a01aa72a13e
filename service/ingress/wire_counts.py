"""Counts what a message holds, on the wire, before it is parsed.

Parsing makes an object of every sub-message, two bytes on the wire: 32 MiB of them take a gigabyte, and nothing else
runs meanwhile, because the parser holds the interpreter's lock to its end. Counting stops at its bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from service.errors import InvalidArgument

MOST_FIELDS = 600_000
"""Most fields of one message, with those of its sub-messages."""
MOST_NUMBERS = 2_000_000
"""Most entries of packed lists in one message."""
MOST_MESSAGES = 4000
"""Most sub-messages of a message of a kind that `MESSAGES` does not name."""
MESSAGES = {"actionlens.v1.CreateJobRequest": 400_000}
"""Most sub-messages, by kind: 10,000 clips with 200,000 boxes among them."""
LONGEST_TEXT = 2**16
"""Most bytes of one text; what each may have is checked by its owner."""

_DEEPEST = 100
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_PACKED_BYTES = {
    FieldDescriptor.TYPE_DOUBLE: 8,
    FieldDescriptor.TYPE_FIXED64: 8,
    FieldDescriptor.TYPE_SFIXED64: 8,
    FieldDescriptor.TYPE_FLOAT: 4,
    FieldDescriptor.TYPE_FIXED32: 4,
    FieldDescriptor.TYPE_SFIXED32: 4,
}


class _Kind(Enum):
    MESSAGE, LEAF, TEXT, NUMBERS = range(4)


@dataclass(slots=True)
class _Field:
    """name: for people. inside: the fields of a MESSAGE, by number. width: bytes of a number; 0: it varies."""

    name: str
    kind: _Kind
    inside: dict[int, _Field]
    width: int = 0


def unreadable(size: int, kind: Descriptor) -> InvalidArgument:
    """The error of bytes that are no message of this kind."""
    return InvalidArgument(
        f"message: {size} bytes that are no {kind.full_name}", field="message", reason="MESSAGE_UNREADABLE"
    )


def check_wire(data: bytes, kind: Descriptor) -> None:
    """Count a message's fields, sub-messages and entries of packed lists; takes at most some 0.3 s.

    Raises InvalidArgument when there are more of them than any valid message has (TOO_MANY_ENTRIES), a text is longer
    than any may be, or the bytes are no protobuf. What is not counted here is bounded by the size of the message.
    """
    try:
        _count(data, kind)
    except IndexError:
        raise unreadable(len(data), kind) from None


def _count(data: bytes, kind: Descriptor) -> None:
    fields = _fields_of(kind)
    most_messages = MESSAGES.get(kind.full_name, MOST_MESSAGES)
    tags = messages = numbers = position = 0
    end = len(data)
    around: list[tuple[dict[int, _Field], int]] = []
    while True:
        if position >= end:
            if position > end:
                raise IndexError
            if not around:
                return
            fields, end = around.pop()
            continue
        tag = data[position]
        position += 1
        if tag > 127:
            tag, position = _varint(data, position - 1)
        tags += 1
        if tags > MOST_FIELDS:
            raise _too_many(kind, f"more than {MOST_FIELDS} fields")
        wire = tag & 7
        if wire == _VARINT:
            while data[position] > 127:
                position += 1
            position += 1
        elif wire == _BYTES:
            size, position = _varint(data, position)
            stop = position + size
            if stop > end:
                raise IndexError
            field = fields.get(tag >> 3)
            if field is None:
                position = stop
                continue
            if field.kind is _Kind.MESSAGE or field.kind is _Kind.LEAF:
                messages += 1
                if messages > most_messages:
                    raise _too_many(kind, f"more than {most_messages} entries, {field.name} among them")
                if field.kind is _Kind.MESSAGE:
                    if len(around) == _DEEPEST:
                        raise IndexError
                    around.append((fields, end))
                    fields, end = field.inside, stop
                    continue
            elif field.kind is _Kind.TEXT:
                if size > LONGEST_TEXT:
                    raise InvalidArgument(
                        f"{field.name}: {size} bytes of text; use at most {LONGEST_TEXT}",
                        field=field.name,
                        reason="TEXT_TOO_LONG",
                    )
            else:
                numbers += size // field.width if field.width else _varints(data, position, stop)
                if numbers > MOST_NUMBERS:
                    raise _too_many(kind, f"more than {MOST_NUMBERS} numbers, {field.name} among them")
            position = stop
        elif wire == _FIXED32:
            position += 4
        elif wire == _FIXED64:
            position += 8
        else:  # groups, which no message of ours ever had
            raise IndexError


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at a position, and the position behind it."""
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
        shift += 7
        if shift > 63:
            raise IndexError


def _varints(data: bytes, start: int, stop: int) -> int:
    return int(np.count_nonzero(np.frombuffer(data, np.uint8, stop - start, start) < 128))


def _too_many(kind: Descriptor, what: str) -> InvalidArgument:
    return InvalidArgument(
        f"message: {kind.name} holds {what}; no request needs so many", field="message", reason="TOO_MANY_ENTRIES"
    )


_KNOWN: dict[str, dict[int, _Field]] = {}


def _fields_of(kind: Descriptor) -> dict[int, _Field]:
    """The fields that are counted or looked into, by number."""
    fields = _KNOWN.get(kind.full_name)
    if fields is None:
        # Known before it is complete: kinds of messages hold each other.
        fields = _KNOWN[kind.full_name] = {}
        for field in kind.fields:
            entry = _field(field)
            if entry is not None:
                fields[field.number] = entry
    return fields


def _field(field: FieldDescriptor) -> _Field | None:
    if field.message_type is not None:
        inside = _fields_of(field.message_type)
        return _Field(field.name, _Kind.MESSAGE if _grows(field.message_type) else _Kind.LEAF, inside)
    if field.type == FieldDescriptor.TYPE_STRING:
        return _Field(field.name, _Kind.TEXT, {})
    if field.is_repeated and field.type != FieldDescriptor.TYPE_BYTES:
        return _Field(field.name, _Kind.NUMBERS, {}, _PACKED_BYTES.get(field.type, 0))
    return None


def _grows(kind: Descriptor) -> bool:
    """Whether a message may hold more than a few numbers and bytes."""
    return any(
        field.is_repeated or field.message_type is not None or field.type == FieldDescriptor.TYPE_STRING
        for field in kind.fields
    )
