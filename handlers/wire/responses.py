"""Writes results of the engine as protobuf messages."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from actionlens.tensors import TensorError, to_tensor
from actionlens.v1 import answer_pb2, explanation_pb2, tensor_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine.block import JobBlock
from handlers.engine.engine import ClipAnswer, Engine
from handlers.errors import INTERNAL, RequestError
from handlers.explainers.attribution import (
    Attribution,
    Details,
    FrameAttribution,
    Quality,
    RelevanceMatrix,
    SaliencyVolume,
    Target,
)
from handlers.explainers.frame_profile import frame_entropy


def clip_response(engine: Engine, compute: worker_pb2.Compute, result: ClipAnswer) -> worker_pb2.ComputeResponse:
    """Write a clip's answer; a method whose values cannot be sent is a failure. Raises TensorError for such logits."""
    start = time.perf_counter()
    encoding = compute.output.encoding
    response = worker_pb2.ComputeResponse(
        prediction=prediction_message(engine, result.logits, compute.output.top_k),
        timings=worker_pb2.ComputeTimings(
            forward=result.forward_seconds, explain=[entry.seconds for entry in result.explained]
        ),
    )
    if result.frame_logits is not None:
        response.prediction.frame_logits.CopyFrom(_tensor(result.frame_logits, answer_pb2.VALUE_ENCODING_FLOAT32))
    for index, entry in enumerate(result.explained):
        explanation = explanation_message(engine, result.logits, result.target, entry.method, entry.parameters)
        if isinstance(entry.result, RequestError):
            explanation.failure.CopyFrom(failure(entry.result, f"methods[{index}].{entry.method.replace('-', '_')}."))
        else:
            plain = explanation_pb2.Explanation()
            plain.CopyFrom(explanation)
            try:
                _fill(explanation, entry.result, encoding)
            except TensorError as error:
                explanation = plain
                explanation.failure.CopyFrom(failure(not_finite(error)))
        response.explanations.append(explanation)
    response.timings.encode = time.perf_counter() - start
    return response


def block_response(engine: Engine, request: worker_pb2.Advance, block: JobBlock) -> worker_pb2.ComputeResponse:
    """Write a job's progress, with its result if that was asked for. Raises TensorError for what cannot be sent."""
    state, output = block.state, request.compute.output
    response = worker_pb2.ComputeResponse(
        advanced=worker_pb2.Advanced(
            state=state.to_bytes(),
            iteration=state.iteration,
            iterations=state.iterations,
            done=state.done,
            objective=state.objective,
        )
    )
    if block.result is not None:
        response.prediction.CopyFrom(prediction_message(engine, block.logits, output.top_k))
        explanation = explanation_message(engine, block.logits, block.target, block.method, block.parameters)
        explanation.provenance.seed = request.seed
        _fill(explanation, block.result, output.encoding)
        response.explanations.append(explanation)
    return response


def prediction_message(engine: Engine, logits: Tensor, top_k: int) -> explanation_pb2.Prediction:
    """Write logits, float [K], as a prediction."""
    probabilities = engine.model.probabilities(logits)
    best = logits.topk(min(top_k or 5, len(logits))).indices
    return explanation_pb2.Prediction(
        top=[_score(engine, int(index), logits, probabilities) for index in best],
        logits=_tensor(logits, answer_pb2.VALUE_ENCODING_FLOAT32),
    )


def explanation_message(
    engine: Engine, logits: Tensor, target: Target, method: str, parameters: Mapping[str, Any]
) -> explanation_pb2.Explanation:
    """Write an explanation, without its value yet."""
    probabilities = engine.model.probabilities(logits)
    explanation = explanation_pb2.Explanation(method=method, target=_score(engine, target.index, logits, probabilities))
    if target.contrast is not None:
        explanation.contrast.CopyFrom(_score(engine, target.contrast, logits, probabilities))
    card = engine.model.card
    provenance = explanation.provenance
    provenance.model, provenance.version, provenance.method = card.name, card.version, method
    provenance.weights_digest = card.weights.sha256
    provenance.parameters.update(parameters)
    return explanation


def _score(engine: Engine, index: int, logits: Tensor, probabilities: Tensor) -> explanation_pb2.ClassScore:
    return explanation_pb2.ClassScore(
        index=index,
        label=engine.model.card.labels[index],
        logit=float(logits[index]),
        probability=float(probabilities[index]),
    )


def _fill(explanation: explanation_pb2.Explanation, result: Attribution, encoding: answer_pb2.ValueEncoding) -> None:
    match result:
        case SaliencyVolume():
            volume = explanation.saliency
            volume.values.CopyFrom(_tensor(result.values, encoding))
            volume.signed = result.signed
            volume.layer = result.layer
            volume.undefined = result.undefined
            volume.frame_positions.extend(result.frame_positions)
            if result.mask is not None:
                volume.mask.CopyFrom(_bytes(result.mask))
        case RelevanceMatrix():
            matrix = explanation.relevance_matrix
            matrix.values.CopyFrom(_tensor(result.values, encoding))
            matrix.frame_positions.extend(result.frame_positions)
            matrix.row_logits.extend(result.row_logits.tolist())
            matrix.row_lengths.extend(result.row_lengths)
            matrix.undefined = result.undefined
            if result.average_length is not None:
                matrix.average_length = result.average_length
            if result.maximum_length is not None:
                matrix.maximum_length = result.maximum_length
        case FrameAttribution():
            explanation.frame_attribution.values.CopyFrom(_tensor(result.values, encoding))
            explanation.frame_attribution.unit = result.unit
    _fill_quality(explanation.quality, result.quality)
    entropy = frame_entropy(result, explanation.target.index)
    if entropy is not None:
        explanation.quality.frame_entropy = entropy
    _fill_details(explanation, result.details)


def _fill_quality(message: explanation_pb2.Quality, quality: Quality) -> None:
    for name, value in vars(quality).items():
        if value is not None:
            _check_finite(name, value)
            setattr(message, name, value)


def _fill_details(explanation: explanation_pb2.Explanation, details: Details) -> None:
    for curve in details.curves:
        _check_finite(curve.name, *curve.x, *curve.y)
        explanation.curves.add(name=curve.name, x_name=curve.x_name, x=curve.x, y=curve.y, unit=curve.unit)
    explanation.notes.extend(details.notes)
    for name, number in details.measures.items():
        _check_finite(name, number)
        explanation.measures[name] = number
    for name, values in details.arrays.items():
        explanation.arrays[name].CopyFrom(array_message(values))


def _check_finite(name: str, *numbers: float) -> None:
    """Raises TensorError: one such number makes an answer that no JSON and no database takes."""
    if not all(map(math.isfinite, numbers)):
        raise TensorError(f"{name}: NaN or infinity")


def array_message(values: Tensor) -> tensor_pb2.Tensor:
    """Write an array: bool and uint8 as they are, all else as float32. Raises TensorError for what cannot be sent."""
    whole = values.dtype in (torch.uint8, torch.bool)
    return _bytes(values) if whole else _tensor(values, answer_pb2.VALUE_ENCODING_FLOAT32)


def _tensor(values: Tensor, encoding: answer_pb2.ValueEncoding) -> tensor_pb2.Tensor:
    values = values.detach().float()
    if not bool(values.isfinite().all()):
        raise TensorError("NaN or infinity among them")
    return to_tensor(values.numpy(), encoding)


def _bytes(values: Tensor) -> tensor_pb2.Tensor:
    """A bool or uint8 tensor as it is."""
    data = values.numpy().tobytes()
    return tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_UINT8, shape=values.shape, data=data, scale=1.0)


def not_finite(error: TensorError) -> RequestError:
    """The failure of an explanation with values that no message takes."""
    message = f"the explanation has values that cannot be sent: {error}"
    return RequestError(message, reason="VALUES_NOT_FINITE", code=INTERNAL)


def failure(error: RequestError, prefix: str = "") -> explanation_pb2.Failure:
    """Write an error as a message. prefix: before its field's name in the request."""
    field = error.field if error.field.startswith("target") else f"{prefix}{error.field}".rstrip(".")
    message = error.message
    if error.field:  # the engine knows a parameter by its own name only; clients read the whole path, once
        message = f"{field}: {message.removeprefix(f'{error.field}: ')}"
    return explanation_pb2.Failure(code=error.code, message=message, field=field, reason=error.reason)
