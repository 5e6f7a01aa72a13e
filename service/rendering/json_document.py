"""Encodes answers as files for programs: JSON documents, and the arrays that they name by keys, in an NPZ file."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from numpy.typing import NDArray

from actionlens.tensors import to_array
from actionlens.v1 import answer_pb2, tensor_pb2
from service.unique_names import explanation_names

# Parts of a message that arrays are not named after.
_SILENT = ("prediction", "saliency", "relevance_matrix", "frame_attribution", "values", "arrays")

Document = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


def answer_document(answer: answer_pb2.Answer) -> tuple[Document, Arrays]:
    """The answer as a JSON document, and its arrays by key.

    An array is {"npz": key, "shape": [...]} in the document. Keys are "logits", "frame_logits", "used",
    "timestamps", and per explanation "grad-cam" (its values), "selective-relevance.mask", "temporal-mask.window" (one
    of its further arrays). Overlays are left out.
    """
    arrays: Arrays = {
        "used": np.asarray(answer.frames.used, np.uint64),
        "timestamps": np.asarray(answer.frames.timestamps, np.float64),
    }
    document = message_document(answer, arrays, skip=("explanations",))
    document["explanations"] = [
        {"name": name, **message_document(explanation, arrays, name, skip=("overlay",))}
        for name, explanation in zip(explanation_names(answer), answer.explanations, strict=True)
    ]
    return document, arrays


def message_document(
    message: Message, arrays: Arrays | None = None, name: str = "", skip: tuple[str, ...] = ()
) -> Document:
    """A message as a JSON document with its own field names, whole numbers as numbers and enums by name.

    Zeros are there, unset optional fields and messages are not. arrays: takes the tensors, keyed below `name`.
    """
    document: Document = {}
    fields: list[Any] = list(message.DESCRIPTOR.fields)
    for field in fields:
        if field.name in skip or (field.has_presence and not message.HasField(field.name)):
            continue
        key = name if field.name in _SILENT else ".".join(filter(None, (name, field.name)))
        value: Any = getattr(message, field.name)
        if field.is_repeated and isinstance(value, Mapping):
            entries = field.message_type.fields_by_name["value"]
            document[field.name] = {
                entry: _plain(entries, value[entry], arrays, ".".join(filter(None, (key, entry))))
                for entry in sorted(value)
            }
        elif field.is_repeated:
            document[field.name] = [_plain(field, entry, arrays, key) for entry in value]
        else:
            document[field.name] = _plain(field, value, arrays, key)
    return document


def json_file(document: Document) -> bytes:
    """A document as a JSON file."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def npz_file(arrays: Arrays) -> bytes:
    """Arrays by key as an NPZ file."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _plain(field: Any, value: Any, arrays: Arrays | None, key: str) -> Any:
    if isinstance(value, tensor_pb2.Tensor):
        if arrays is not None:
            arrays[key] = to_array(value)
        return {"npz": key, "shape": list(value.shape)}
    if isinstance(value, Struct) or (isinstance(value, Message) and value.DESCRIPTOR.full_name.startswith("google.")):
        return json_format.MessageToDict(value)
    if isinstance(value, Message):
        return message_document(value, arrays, key)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else value
    if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        # The shortest number that is the same float32; 0.1 and not 0.10000000149.
        return float(str(np.float32(value)))
    return value
