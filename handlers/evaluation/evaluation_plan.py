"""What can be measured on a model, and what an evaluation of one clip will cost, before any clip is there."""

from __future__ import annotations

from collections import Counter

from actionlens.v1 import job_pb2, model_pb2
from handlers.engine.description import described_parameter
from handlers.errors import RequestError
from handlers.evaluation.evaluation_request import EvaluationRequest, asked_measures, subject_of
from handlers.evaluation.evaluation_units import MeasureUnit, plain_subject, units
from handlers.evaluation.measure_registry import measures
from handlers.models.action_model import ActionModel

_FIELD = "evaluate"


def describe_measures(model: ActionModel) -> list[model_pb2.MeasureSupport]:
    """Every measure: supported on the model or the reason why not, its parameters and its cost."""
    found = []
    for entry in measures().values():
        reason = entry.unsupported(model)
        support = model_pb2.MeasureSupport(
            measure=entry.name,
            supported=reason is None,
            reason=reason or "",
            description=entry.summary,
            source=entry.source,
            needs=sorted(entry.needs),
            subject=subject_of(entry),
        )
        if reason is None:
            support.forwards = entry.forwards(model, model.card.input.frames, entry.parameters())
        for name, schema in entry.parameters.model_json_schema().get("properties", {}).items():
            support.parameters.append(described_parameter(name, schema))
        found.append(support)
    return found


def plan(model: ActionModel, request: EvaluationRequest, frames: int) -> job_pb2.EvaluationPlan:
    """Count what evaluating a clip of so many frames (0: as many as the model takes) takes, if all is known of it.

    The exact mask's rows are not counted. Raises RequestError as `asked_measures` does.
    """
    frames = frames or model.card.input.frames
    lengths = range(1, model.most_frames + 1) if model.most_frames else (model.card.input.frames,)
    if frames not in lengths:
        raise RequestError(f"frames: {model.card.name} takes no clips of {frames}", field="frames")
    asked = asked_measures(request, model, _FIELD)
    parts = units(request, asked, plain_subject(model, frames))
    times = Counter(part.measure for part in parts if isinstance(part, MeasureUnit))
    message = job_pb2.EvaluationPlan(iterations=len(parts))
    for number, entry in enumerate(asked):
        forwards = entry.measure.forwards(model, frames, entry.parameters)
        message.measures.add(measure=entry.text, forwards=forwards, times=times[number])
        message.forwards += forwards * times[number]
    return message
