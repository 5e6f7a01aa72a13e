"""What a loaded model says about itself, as the protobuf message that clients see."""

from __future__ import annotations

import json

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
        ),
        ready=True,
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
        for name, schema in entry.parameters.model_json_schema().get("properties", {}).items():
            kinds = [schema.get("type"), *(option.get("type") for option in schema.get("anyOf", ()))]
            support.parameters.add(
                name=name,
                type=next((_TYPES[kind] for kind in kinds if kind in _TYPES), "string"),
                default_value=json.dumps(schema.get("default")),
                description=schema.get("description", ""),
            )
    return message
