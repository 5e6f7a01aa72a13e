"""Answers requests with an exported graph: one run for all that ask for the same."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actionlens.frame_agreement import write_agreement
from actionlens.tensors import TensorError, to_tensor
from actionlens.v1 import answer_pb2, explanation_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.onnx.explanations import fill
from service.backends.onnx.graph import Graph, Outputs, Part
from service.backends.onnx.graph_request import PREDICTION, GraphRequest, read_request
from service.backends.protocol import Work
from service.errors import ActionLensError, FailedPrecondition
from service.readings.explanation import frame_entropy, frame_profile

_TOP = 5


def answer(graph: Graph, batch: Sequence[Work]) -> list[worker_pb2.ComputeResponse]:
    """Answers in order; work that cannot be answered gets a `failure` in its position.

    batch: of one, when the graph takes one clip at a time. How times are divided is said in actionlens.v1.Timings.
    """
    started, start = time.time(), time.perf_counter()
    replies = [worker_pb2.ComputeResponse() for _ in batch]
    alike: dict[tuple[str, ...], list[tuple[worker_pb2.ComputeResponse, GraphRequest]]] = {}
    for reply, work in zip(replies, batch, strict=True):
        try:
            match work.request.WhichOneof("work"):
                case "describe":
                    reply.model.CopyFrom(graph.model)
                case "advance":
                    raise FailedPrecondition("an exported graph computes no jobs; serve the model itself for them")
                case _:
                    item = read_request(graph, work)
                    alike.setdefault(item.wanted, []).append((reply, item))
        except ActionLensError as error:
            reply.failure.CopyFrom(_failure(error))
    for group in alike.values():
        _answer_group(graph, group)
    total = time.perf_counter() - start
    for reply in replies:
        reply.timings.started = started
        reply.timings.total = total
    return replies


def _answer_group(graph: Graph, group: Sequence[tuple[worker_pb2.ComputeResponse, GraphRequest]]) -> None:
    clips = np.stack([item.clip for _, item in group]) if len(group) > 1 else group[0][1].clip[None]
    targets = np.array([item.target for _, item in group], np.int64)
    wanted = group[0][1].wanted
    found, seconds = _timed(graph.part(wanted), clips, targets)
    explains = len(wanted) > len(PREDICTION)
    if explains and graph.shares.due(wanted):
        graph.shares.add(wanted, seconds, _timed(graph.part(PREDICTION), clips, targets)[1])
    forward = seconds * graph.shares.value(wanted) if explains else seconds
    for index, (reply, item) in enumerate(group):
        begun = time.perf_counter()
        try:
            _fill(reply, graph, item, {name: values[index] for name, values in found.items()})
        except (ActionLensError, TensorError) as error:
            wrong = error if isinstance(error, ActionLensError) else ActionLensError(f"the prediction: {error}")
            reply.Clear()
            reply.failure.CopyFrom(_failure(wrong))
            continue
        times = reply.timings
        times.encode = time.perf_counter() - begun
        times.forward, times.batch_size, times.explain_together = forward, len(group), explains
        each = (seconds - forward) / len(group) / max(1, sum(refused is None for _, refused in item.methods))
        times.explain.extend(each if refused is None else 0.0 for _, refused in item.methods)


def _timed(part: Part, clips: NDArray[np.uint8], targets: NDArray[np.int64]) -> tuple[Outputs, float]:
    begun = time.perf_counter()
    found = part.run(clips, targets)
    return found, time.perf_counter() - begun


def _fill(reply: worker_pb2.ComputeResponse, graph: Graph, item: GraphRequest, found: Outputs) -> None:
    """found: of this clip. Raises ActionLensError when the clip has no prediction."""
    if not np.isfinite(found["logits"]).all():
        raise ActionLensError("the model's logits are not finite", reason="LOGITS_NOT_FINITE")
    output = item.compute.output
    reply.prediction.CopyFrom(_prediction(graph, found, output.top_k))
    for name, refused in item.methods:
        explanation = _explanation(graph, found, name)
        error = refused
        try:
            if error is None:
                fill(explanation, graph.held[name], found, output.encoding)
                entropy = frame_entropy(explanation, len(item.clip))
                if entropy is not None:
                    explanation.quality.frame_entropy = entropy
        except TensorError as wrong:
            error = ActionLensError(f"the explanation has values that cannot be sent: {wrong}")
            explanation = _explanation(graph, found, name)
        if error is not None:
            explanation.failure.CopyFrom(_failure(error))
        if item.compute.output.insertion_deletion_gap and error is None:
            explanation.quality.gap_left_out = "an exported graph does not measure it; serve the model itself"
        reply.explanations.append(explanation)
    frames = len(item.clip)
    profiles = {
        index: frame_profile(explanation, frames)
        for index, explanation in enumerate(reply.explanations)
        if not explanation.HasField("failure")
    }
    write_agreement(reply, profiles)


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
    if graph.one_by_one:
        probability = 1 / (1 + np.exp(-float(logits[index])))
    else:
        powers = np.exp(logits - logits.max())
        probability = float(powers[index] / powers.sum())
    return explanation_pb2.ClassScore(
        index=index,
        label=graph.model.labels[index],
        logit=float(logits[index]),
        probability=probability,
    )


def _failure(error: ActionLensError) -> explanation_pb2.Failure:
    code: int = error.code.value[0]
    return explanation_pb2.Failure(code=code, message=error.message, field=error.field, reason=error.reason)
