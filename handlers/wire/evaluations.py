"""Between the messages of evaluations and handlers.evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from google.protobuf import json_format
from numpy.typing import NDArray
from torch import Tensor

from actionlens.tensors import TensorError
from actionlens.v1 import explanation_pb2, method_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine.engine import Engine, MethodCall
from handlers.errors import RequestError
from handlers.evaluation.evaluation_block import EvaluationBlock, FoundRow
from handlers.evaluation.evaluation_memory import Refused
from handlers.evaluation.evaluation_request import EvaluationRequest, MeasureCall
from handlers.evaluation.measure import Measured
from handlers.evaluation.subject import GroundTruth
from handlers.wire.responses import array_message, explanation_message, prediction_message

Call = Callable[[method_pb2.Method], MethodCall]


def evaluation_request(message: method_pb2.Evaluate, call: Call) -> EvaluationRequest:
    """The evaluation that is asked for. call: reads a method."""
    return EvaluationRequest(
        methods=[call(method) for method in message.methods],
        measures=[MeasureCall(entry.name, _plain(entry)) for entry in message.measures],
        correct_only=message.correct_only,
        min_score=message.min_score,
        draws=message.draws if message.HasField("draws") else None,
    )


def ground_truth(truth: worker_pb2.Truth, shape: tuple[int, int, int]) -> GroundTruth:
    """What is known of a clip of so many frames, rows and columns. Raises RequestError for what has another size."""
    frames = shape[0]
    objects = annotated = None
    if truth.objects:
        objects = _bits(truth.objects, shape)
        annotated = _flags(truth.annotated, frames, "truth.annotated")
        if annotated is None:
            annotated = torch.ones(frames, dtype=torch.bool)
    return GroundTruth(
        label=truth.label if truth.HasField("label") else None,
        objects=objects,
        annotated=annotated,
        exact=truth.exact,
        segment=_flags(truth.segment, frames, "truth.segment"),
    )


def visible(compute: worker_pb2.Compute, clip: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """The part of the frames without bars: top, bottom, left, right; None: all. Raises RequestError for none."""
    if not compute.HasField("visible"):
        return None
    part = compute.visible
    if not (part.left < part.right <= clip.shape[2] and part.top < part.bottom <= clip.shape[1]):
        raise RequestError("visible: is no part of the frame", field="visible", reason="BAD_RECTANGLE")
    return part.top, part.bottom, part.left, part.right


def evaluation_response(
    engine: Engine, request: worker_pb2.Advance, block: EvaluationBlock
) -> worker_pb2.ComputeResponse:
    """Write an evaluation's progress, with the rows so far if they were asked for."""
    state, subject = block.state, block.subject
    response = worker_pb2.ComputeResponse(
        advanced=worker_pb2.Advanced(
            state=state.to_bytes(), iteration=state.iteration, iterations=state.iterations, done=state.done
        )
    )
    if not request.result:
        return response
    asked = json_format.MessageToDict(request.compute.methods[0].evaluate, preserving_proto_field_name=True)
    response.prediction.CopyFrom(prediction_message(engine, subject.logits, request.compute.output.top_k))
    explanation = explanation_message(engine, subject.logits, subject.target, "evaluate", asked)
    explanation.provenance.seed = request.seed
    evaluation = explanation.evaluation
    evaluation.SetInParent()
    if subject.truth.label is not None:
        evaluation.label = subject.truth.label
        evaluation.correct = bool(subject.correct)
    evaluation.forwards = block.forwards
    for row in block.rows:
        _write(explanation, row)
    response.explanations.append(explanation)
    return response


def _write(explanation: explanation_pb2.Explanation, row: FoundRow) -> None:
    evaluation, about = explanation.evaluation, {"method": row.method, "measure": row.measure, "baseline": row.baseline}
    match row.finding:
        case Refused(reason=reason, lacks=lacks):
            evaluation.rows.add(**about, left_out=reason, lacks=lacks)
        case Measured() as measured:
            for name, value in measured.values.items():
                evaluation.rows.add(**about, value=name, number=value.number, better=value.better, unit=value.unit)
            for name, reason in measured.left_out.items():
                evaluation.rows.add(**about, value=name, left_out=reason)
            for curve in measured.curves:
                series = explanation_pb2.Curve(
                    name=curve.name, x_name=curve.x_name, x=curve.x, y=curve.y, unit=curve.unit
                )
                evaluation.curves.add(**about, curve=series)
            for name, values in measured.arrays.items():
                try:
                    tensor = array_message(values)
                except TensorError as error:
                    evaluation.rows.add(**about, value=name, left_out=f"the array cannot be sent: {error}")
                else:
                    explanation.arrays[f"{row.measure}/{row.method}/{name}"].CopyFrom(tensor)


def _plain(measure: method_pb2.Measure) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(measure.parameters)
    return dict(sorted(found.items()))  # a map has no order


def _bits(packed: bytes, shape: tuple[int, int, int]) -> Tensor:
    count = int(np.prod(shape, dtype=np.int64))
    if len(packed) != -(-count // 8):
        raise RequestError(
            f"truth.objects: {len(packed)} bytes for {count} bits", field="truth.objects", reason="WRONG_MASK_SIZE"
        )
    flat = np.unpackbits(np.frombuffer(packed, np.uint8), count=count)
    return torch.from_numpy(flat.reshape(shape).astype(bool))


def _flags(flags: Sequence[bool], frames: int, field: str) -> Tensor | None:
    if not flags:
        return None
    if len(flags) != frames:
        raise RequestError(f"{field}: {len(flags)} for {frames} frames", field=field, reason="WRONG_MASK_SIZE")
    return torch.tensor(list(flags), dtype=torch.bool)
