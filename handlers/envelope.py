"""Between the worker messages and the engine: protobuf in, protobuf out, one failure per item that fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np
from google.protobuf.message import DecodeError, Message
from torch import Tensor

from actionlens.tensors import TensorError, to_tensor
from actionlens.v1 import answer_pb2, explanation_pb2, method_pb2, tensor_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.attribution import Attribution, FrameAttribution, Quality, RelevanceMatrix, SaliencyVolume
from handlers.description import describe
from handlers.engine import ClipAnswer, ClipRequest, Engine, Explained, MethodCall
from handlers.errors import INTERNAL, RequestError

_log = logging.getLogger(__name__)


def answer_bytes(engine: Engine, bodies: Sequence[bytes | bytearray]) -> list[bytes]:
    """Answer serialised ComputeRequests, in order; bytes that are no message get a failure in their place."""
    requests: list[worker_pb2.ComputeRequest | RequestError] = []
    for body in bodies:
        try:
            requests.append(worker_pb2.ComputeRequest.FromString(bytes(body)))
        except DecodeError:
            requests.append(RequestError("not a ComputeRequest message", reason="BAD_ENVELOPE"))
    good = [request for request in requests if isinstance(request, worker_pb2.ComputeRequest)]
    replies = iter(answer(engine, good))
    return [
        (_failed(request) if isinstance(request, RequestError) else next(replies)).SerializeToString()
        for request in requests
    ]


def answer(engine: Engine, requests: Sequence[worker_pb2.ComputeRequest]) -> list[worker_pb2.ComputeResponse]:
    """Answer a batch of worker messages, in order. Never raises: what fails is a `failure` in its place."""
    start = time.perf_counter()
    replies: list[worker_pb2.ComputeResponse | None] = [None] * len(requests)
    clips: list[tuple[int, ClipRequest]] = []
    for index, request in enumerate(requests):
        try:
            if request.WhichOneof("work") == "describe":
                replies[index] = worker_pb2.ComputeResponse(model=describe(engine.model))
            else:
                clips.append((index, _clip_request(request.compute)))
        except RequestError as error:
            replies[index] = _failed(error)
    try:
        answers = engine.explain([clip for _, clip in clips])
    except Exception as error:  # the boundary: a bug or lack of memory must not take batch-mates' replies away
        _log.exception("the batch failed")
        message = f"{type(error).__name__} while computing the batch"
        answers = [RequestError(message, reason="ENGINE_FAILED", code=INTERNAL)] * len(clips)
    for (index, _), result in zip(clips, answers, strict=True):
        if isinstance(result, RequestError):
            replies[index] = _failed(result)
        else:
            try:
                replies[index] = _response(engine, requests[index].compute, result)
            except TensorError as error:
                message = f"the explanation has values that cannot be sent: {error}"
                replies[index] = _failed(RequestError(message, reason="VALUES_NOT_FINITE", code=INTERNAL))
    done = [reply for reply in replies if reply is not None]
    total = time.perf_counter() - start
    for reply in done:
        reply.timings.total = total
        reply.timings.batch_size = len(clips)
    return done


def _clip_request(compute: worker_pb2.Compute) -> ClipRequest:
    shape = (compute.frames, compute.height, compute.width, 3)
    if len(compute.clip) != int(np.prod(shape, dtype=np.int64)):
        raise RequestError(
            f"clip: {len(compute.clip)} bytes for uint8 {list(shape)}", field="clip", reason="WRONG_CLIP_SHAPE"
        )
    # The copy makes the pixels writable, which torch asks for; 0.6 MB at 16 x 112 x 112.
    clip = np.frombuffer(bytearray(compute.clip), dtype=np.uint8).reshape(shape)
    return ClipRequest(
        clip=clip,
        methods=[_method_call(method) for method in compute.methods],
        target=_selector(compute.target.explained),
        contrast=_selector(compute.target.contrast),
    )


def _selector(selector: method_pb2.ClassSelector) -> int | str | None:
    match selector.WhichOneof("selector"):
        case "index":
            return selector.index
        case "label":
            return selector.label
        case _:
            return None


def _method_call(method: method_pb2.Method) -> MethodCall:
    field = method.WhichOneof("method") or ""
    message: Message | None = getattr(method, field, None)
    parameters = {} if message is None else {entry.name: value for entry, value in message.ListFields()}
    return MethodCall(field.replace("_", "-"), parameters)


def _response(engine: Engine, compute: worker_pb2.Compute, result: ClipAnswer) -> worker_pb2.ComputeResponse:
    start = time.perf_counter()
    encoding = compute.output.encoding
    probabilities = result.logits.softmax(0)
    top_k = min(compute.output.top_k or 5, len(result.logits))
    response = worker_pb2.ComputeResponse(
        prediction=explanation_pb2.Prediction(
            top=[
                _score(engine, int(index), result.logits, probabilities) for index in result.logits.topk(top_k).indices
            ],
            logits=_tensor(result.logits, answer_pb2.VALUE_ENCODING_FLOAT32),
        ),
        timings=worker_pb2.ComputeTimings(
            forward=result.forward_seconds, explain=[entry.seconds for entry in result.explained]
        ),
    )
    if result.frame_logits is not None:
        response.prediction.frame_logits.CopyFrom(_tensor(result.frame_logits, answer_pb2.VALUE_ENCODING_FLOAT32))
    target = _score(engine, result.target.index, result.logits, probabilities)
    for place, entry in enumerate(result.explained):
        explanation = response.explanations.add(method=entry.method, target=target)
        if result.target.contrast is not None:
            explanation.contrast.CopyFrom(_score(engine, result.target.contrast, result.logits, probabilities))
        explanation.provenance.CopyFrom(_provenance(engine, entry))
        if isinstance(entry.result, RequestError):
            explanation.failure.CopyFrom(_failure(entry.result, f"methods[{place}].{entry.method.replace('-', '_')}."))
        else:
            _fill(explanation, entry.result, encoding)
    response.timings.encode = time.perf_counter() - start
    return response


def _score(engine: Engine, index: int, logits: Tensor, probabilities: Tensor) -> explanation_pb2.ClassScore:
    return explanation_pb2.ClassScore(
        index=index,
        label=engine.model.card.labels[index],
        logit=float(logits[index]),
        probability=float(probabilities[index]),
    )


def _provenance(engine: Engine, entry: Explained) -> explanation_pb2.Provenance:
    card = engine.model.card
    provenance = explanation_pb2.Provenance(
        model=card.name, version=card.version, weights_digest=card.weights.sha256, method=entry.method
    )
    provenance.parameters.update(entry.parameters)
    return provenance


def _fill(explanation: explanation_pb2.Explanation, result: Attribution, encoding: answer_pb2.ValueEncoding) -> None:
    match result:
        case SaliencyVolume():
            volume = explanation.saliency
            volume.values.CopyFrom(_tensor(result.values, encoding))
            volume.signed = result.signed
            volume.layer = result.layer
            volume.frame_positions.extend(result.frame_positions)
            if result.mask is not None:
                volume.mask.CopyFrom(_mask(result.mask))
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
    _fill_quality(explanation.quality, result.quality)


def _fill_quality(message: explanation_pb2.Quality, quality: Quality) -> None:
    for name, value in vars(quality).items():
        if value is not None:
            setattr(message, name, value)


def _tensor(values: Tensor, encoding: answer_pb2.ValueEncoding) -> tensor_pb2.Tensor:
    return to_tensor(values.detach().float().numpy(), encoding)


def _mask(mask: Tensor) -> tensor_pb2.Tensor:
    return tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_UINT8, shape=mask.shape, data=mask.numpy().tobytes(), scale=1.0)


def _failure(error: RequestError, prefix: str = "") -> explanation_pb2.Failure:
    field = error.field if error.field.startswith("target") else f"{prefix}{error.field}".rstrip(".")
    return explanation_pb2.Failure(code=error.code, message=error.message, field=field, reason=error.reason)


def _failed(error: RequestError) -> worker_pb2.ComputeResponse:
    return worker_pb2.ComputeResponse(failure=_failure(error))
