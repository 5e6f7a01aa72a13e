"""Requests answered by an exported graph: one run per clip, and what the graph does not hold refused by name."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from google.protobuf.json_format import MessageToDict
from numpy.typing import NDArray

from actionlens.tensors import TensorError, to_tensor
from actionlens.v1 import answer_pb2, explanation_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.onnx.explanations import OUTPUTS, fill
from service.backends.onnx.graph import Graph, Outputs
from service.errors import ActionLensError, FailedPrecondition, InvalidArgument
from service.reading import frame_entropy
from service.validation import method_name, resolve_target

_TOP = 5


def answer(graph: Graph, requests: Sequence[worker_pb2.ComputeRequest]) -> list[worker_pb2.ComputeResponse]:
    """Answers in order; a request that cannot be answered gets a `failure` in its place.

    Prediction and explanations are one run, so all of its time is the forward's.
    """
    replies = []
    for request in requests:
        start = time.perf_counter()
        try:
            reply = _answered(graph, request)
        except ActionLensError as error:
            reply = worker_pb2.ComputeResponse(failure=_failure(error))
        reply.timings.total = time.perf_counter() - start
        reply.timings.batch_size = 1
        replies.append(reply)
    return replies


def _answered(graph: Graph, request: worker_pb2.ComputeRequest) -> worker_pb2.ComputeResponse:
    match request.WhichOneof("work"):
        case "describe":
            return worker_pb2.ComputeResponse(model=graph.model)
        case "advance":
            raise FailedPrecondition("an exported graph computes no jobs; serve the model itself for them")
        case _:
            return _computed(graph, request.compute)


def _computed(graph: Graph, compute: worker_pb2.Compute) -> worker_pb2.ComputeResponse:
    clip = _clip(graph, compute)
    target = resolve_target(compute.target, graph.model, "target")
    if target.HasField("contrast"):
        raise InvalidArgument(
            "target.contrast: an exported graph explains one class by itself; serve the model itself for contrasts",
            field="target.contrast",
            reason="CONTRAST_UNSUPPORTED",
        )
    refused = {place: _refusal(graph, compute, place) for place in range(len(compute.methods))}
    names = [method_name(method) for method in compute.methods]
    wanted = dict.fromkeys(["logits", "explained", "frame_logits"])
    for place, name in enumerate(names):
        if refused[place] is None:
            wanted.update(dict.fromkeys(OUTPUTS[name]))
    begun = time.perf_counter()
    found = graph.run(clip, target.explained.index if target.HasField("explained") else -1, wanted)
    forward = time.perf_counter() - begun
    if not np.isfinite(found["logits"]).all():
        raise ActionLensError("the model's logits are not finite", reason="LOGITS_NOT_FINITE")
    response = worker_pb2.ComputeResponse(prediction=_prediction(graph, found, compute.output.top_k))
    encoding = compute.output.encoding
    for place, name in enumerate(names):
        error = refused[place]
        try:
            explanation = _explanation(graph, found, name)
            if error is None:
                fill(explanation, graph.held[name], found, encoding)
                entropy = frame_entropy(explanation, len(clip))
                if entropy is not None:
                    explanation.quality.frame_entropy = entropy
        except TensorError as wrong:
            error = ActionLensError(f"the explanation has values that cannot be sent: {wrong}")
            explanation = _explanation(graph, found, name)
        if error is not None:
            explanation.failure.CopyFrom(_failure(error))
        response.explanations.append(explanation)
    response.timings.forward = forward
    response.timings.explain.extend([0.0] * len(names))
    response.timings.encode = time.perf_counter() - begun - forward
    return response


def _clip(graph: Graph, compute: worker_pb2.Compute) -> NDArray[np.uint8]:
    size = graph.model.input
    shape = (compute.frames, compute.height, compute.width, 3)
    wanted = (size.frames, size.height, size.width, 3)
    if shape != wanted or len(compute.clip) != int(np.prod(wanted)):
        raise InvalidArgument(
            f"clip: {len(compute.clip)} bytes as uint8 {list(shape)}; the graph takes uint8 {list(wanted)}",
            field="clip",
            reason="WRONG_CLIP_SHAPE",
        )
    return np.frombuffer(compute.clip, np.uint8).reshape(wanted)


def _refusal(graph: Graph, compute: worker_pb2.Compute, place: int) -> ActionLensError | None:
    """Why the graph does not answer a method as it is asked; None when it does."""
    method = compute.methods[place]
    name, field = method_name(method), method.WhichOneof("method") or ""
    path = f"methods[{place}].{field}"
    if name not in graph.held:
        held = ", ".join(graph.held) or "no explanation"
        return FailedPrecondition(f"{path}: {name} is not in the exported graph, which holds {held}", field=path)
    asked = MessageToDict(getattr(method, field), preserving_proto_field_name=True)
    for key, value in asked.items():
        if value != graph.held[name].parameters.get(key):
            return InvalidArgument(
                f"{path}.{key}: the graph was exported with {graph.held[name].parameters.get(key)!r}; leave it out, or "
                "serve the model itself",
                field=f"{path}.{key}",
                reason="BAD_PARAMETER",
            )
    return None


def _prediction(graph: Graph, found: Outputs, top_k: int) -> explanation_pb2.Prediction:
    logits = found["logits"]
    best = np.argsort(-logits, kind="stable")[: top_k or _TOP]
    prediction = explanation_pb2.Prediction(
        top=[_score(graph, int(index), logits) for index in best],
        logits=to_tensor(logits, answer_pb2.VALUE_ENCODING_FLOAT32),
    )
    if "frame_logits" in found:
        prediction.frame_logits.CopyFrom(to_tensor(found["frame_logits"], answer_pb2.VALUE_ENCODING_FLOAT32))
    return prediction


def _explanation(graph: Graph, found: Outputs, name: str) -> explanation_pb2.Explanation:
    """An explanation without its value yet."""
    explained = _score(graph, int(found["explained"]), found["logits"])
    explanation = explanation_pb2.Explanation(method=name, target=explained)
    provenance = explanation.provenance
    provenance.model, provenance.version, provenance.method = graph.name, graph.model.version, name
    provenance.weights_digest = graph.model.weights_digest
    if name in graph.held:
        provenance.parameters.update(graph.held[name].parameters)
    return explanation


def _score(graph: Graph, index: int, logits: NDArray[np.float32]) -> explanation_pb2.ClassScore:
    powers = np.exp(logits - logits.max())
    return explanation_pb2.ClassScore(
        index=index,
        label=graph.model.labels[index],
        logit=float(logits[index]),
        probability=float(powers[index] / powers.sum()),
    )


def _failure(error: ActionLensError) -> explanation_pb2.Failure:
    code: int = error.code.value[0]
    return explanation_pb2.Failure(code=code, message=error.message, field=error.field, reason=error.reason)
