"""Describes a loaded model as the protobuf message that clients see."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from actionlens.v1 import model_pb2
from handlers.explainers import IterativeExplainer, methods
from handlers.models.action_model import ActionModel

_TYPES = {"boolean": "bool", "number": "number", "integer": "number", "string": "string", "array": "numbers"}


def describe(model: ActionModel) -> model_pb2.Model:
    """The model with its input, labels, and every method: supported or the reason why not, and its parameters."""
    card = model.card
    message = model_pb2.Model(
        name=card.name,
        version=card.version,
        description=card.description,
        architecture=card.architecture,
        weights_digest=card.weights.sha256,
        labels=card.labels,
        input=model_pb2.ModelInput(
            frames=card.input.frames,
            height=card.input.height,
            width=card.input.width,
            resize=card.input.resize,
            sampling=card.input.sampling,
            stride=card.input.stride,
            most_frames=model.most_frames,
            color=card.input.color,
            shorter=card.input.shorter,
            windows=card.input.windows,
            fps=card.input.fps,
        ),
        ready=True,
        scores=model.scores,
        notes=model.notes,
    )
    for entry in methods().values():
        reason = entry.unsupported(model)
        support = message.methods.add(
            method=entry.name,
            supported=reason is None,
            reason=reason or "",
            description=entry.summary,
            job=isinstance(entry, IterativeExplainer),
        )
        largest = entry.largest(model)
        for name, schema in entry.parameters.model_json_schema().get("properties", {}).items():
            parameter = support.parameters.add()
            parameter.CopyFrom(described_parameter(name, schema))
            if name in largest:
                parameter.maximum = largest[name]
    return message


def described_parameter(name: str, schema: Mapping[str, Any]) -> model_pb2.Parameter:
    """Describe a parameter. schema: of one property, as JSON schema has it."""
    # An optional parameter is "anyOf" its type and null.
    options: list[Mapping[str, Any]] = [schema, *schema.get("anyOf", ())]
    rule = next((option for option in options if option.get("type") in _TYPES), schema)
    bounds = rule.get("items", rule)
    parameter = model_pb2.Parameter(
        name=name,
        type=_TYPES.get(rule.get("type", ""), "string"),
        default_value=json.dumps(schema.get("default")),
        description=schema.get("description", ""),
        minimum=bounds.get("minimum", bounds.get("exclusiveMinimum")),
        maximum=bounds.get("maximum", bounds.get("exclusiveMaximum")),
        above_minimum="exclusiveMinimum" in bounds,
        below_maximum="exclusiveMaximum" in bounds,
        choices=rule.get("enum", ()),
        most_entries=rule.get("maxItems", 0),
        whole=bounds.get("type") == "integer",
        fewest_entries=rule.get("minItems", 0),
    )
    if "const" in rule:
        parameter.choices.append(rule["const"])
    return parameter
