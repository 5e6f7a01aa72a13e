"""Answers worker messages with the engine: protobuf in, protobuf out, one failure per item that fails."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from actionlens.tensors import TensorError
from actionlens.v1 import method_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine.block import advance
from handlers.engine.description import describe
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall, engine_error, interrupted
from handlers.errors import DEADLINE_EXCEEDED, INTERNAL, RequestError
from handlers.evaluation import evaluation_block
from handlers.evaluation.evaluation_plan import describe_measures, plan
from handlers.interruption import Interrupted, always, while_wanted
from handlers.wire.answer_quality import Gap, fill_quality, measured_gaps
from handlers.wire.evaluations import evaluation_request, evaluation_response, ground_truth, visible
from handlers.wire.responses import block_response, clip_response, failure, not_finite
from handlers.wire.waiting_caller import WaitingCaller, Wanted


def answer_bytes(engine: Engine, bodies: Sequence[bytes | bytearray], seconds: float = math.inf) -> list[bytes]:
    """Answer serialised ComputeRequests, in order; bytes that are no message get a failure in their position.

    A request whose clip's file is emptied meanwhile is not computed any further, nor is what takes longer than so many
    seconds.
    """
    requests: list[worker_pb2.ComputeRequest | RequestError] = []
    for body in bodies:
        try:
            requests.append(worker_pb2.ComputeRequest.FromString(bytes(body)))
        except DecodeError:
            requests.append(RequestError("not a ComputeRequest message", reason="BAD_ENVELOPE"))
    good = [request for request in requests if isinstance(request, worker_pb2.ComputeRequest)]
    with ExitStack() as files:
        callers = [files.enter_context(WaitingCaller(_compute(request).clip_file)) for request in good]
        replies = iter(answer(engine, good, wanted=callers, seconds=seconds))
    return [
        (_failed(request) if isinstance(request, RequestError) else next(replies)).SerializeToString()
        for request in requests
    ]


def answer(
    engine: Engine,
    requests: Sequence[worker_pb2.ComputeRequest],
    pixels: Sequence[NDArray[np.uint8]] | None = None,
    wanted: Sequence[Wanted] | None = None,
    seconds: float = math.inf,
) -> list[worker_pb2.ComputeResponse]:
    """Answer a batch of worker messages, in order. Never raises: what fails is a `failure` in its position.

    pixels: the clip of each message, uint8 RGB [T, H, W, 3], read and never written; None: the messages have or name
    their own. wanted: of each message, whether its answer is still waited for. seconds: the longest that the batch may
    take. What is interrupted by either is a failure as a whole.
    """
    started, start = time.time(), time.perf_counter()
    waits = [_Wait(each, start + seconds) for each in wanted or [always] * len(requests)]
    replies: list[worker_pb2.ComputeResponse | None] = [None] * len(requests)
    clips: list[tuple[int, ClipRequest]] = []
    for index, request in enumerate(requests):
        clip = None if pixels is None else pixels[index]
        try:
            match request.WhichOneof("work"):
                case "describe":
                    model = describe(engine.model)
                    model.measures.extend(describe_measures(engine.model))
                    replies[index] = worker_pb2.ComputeResponse(model=model)
                case "plan":
                    asked = evaluation_request(request.plan.evaluate, _method_call)
                    replies[index] = worker_pb2.ComputeResponse(plan=plan(engine.model, asked, request.plan.frames))
                case "advance":
                    with while_wanted(waits[index]):
                        replies[index] = _advanced(engine, request.advance, clip)
                case _:
                    clips.append((index, replace(_clip_request(request.compute, clip), wanted=waits[index])))
        except Interrupted:
            replies[index] = _failed(waits[index].failure)
        except RequestError as error:
            replies[index] = _failed(error)
        except Exception as error:  # the boundary: a bug or lack of memory must not take batch-mates' replies away
            replies[index] = _failed(engine_error(error))
    answers = engine.explain([clip for _, clip in clips])
    gaps = [
        _gaps(engine, requests[index].compute, question, result)
        for (index, question), result in zip(clips, answers, strict=True)
    ]
    measuring = sum(gap.seconds for own in gaps for gap in own)
    for (index, question), result, own in zip(clips, answers, gaps, strict=True):
        reply = replies[index] = _reply(engine, requests[index].compute, question, result, own)
        reply.timings.others_measure = measuring - sum(gap.seconds for gap in own)
    for index, wait in enumerate(waits):
        if wait.over:
            replies[index] = _failed(wait.failure)
    done = [reply for reply in replies if reply is not None]
    total = time.perf_counter() - start
    for reply in done:
        reply.timings.started = started
        reply.timings.total = total
        reply.timings.batch_size = len(clips)
    return done


def _compute(request: worker_pb2.ComputeRequest) -> worker_pb2.Compute:
    return request.advance.compute if request.WhichOneof("work") == "advance" else request.compute


class _Wait:
    """A caller's wait for one answer: `over` once it was found to be over, be it asked by whom it may."""

    def __init__(self, wanted: Wanted, until: float) -> None:
        self.over = False
        self.failure = interrupted()
        self._wanted = wanted
        self._until = until

    def __call__(self) -> bool:
        if not self.over and time.perf_counter() >= self._until:
            self.over, self.failure = True, _too_long()
        self.over = self.over or not self._wanted()
        return not self.over


def _too_long() -> RequestError:
    return RequestError(
        "computing took longer than one batch may take; ask for fewer methods or a smaller clip",
        reason="COMPUTE_TOO_LONG",
        code=DEADLINE_EXCEEDED,
    )


def _gaps(
    engine: Engine, compute: worker_pb2.Compute, clip: ClipRequest, result: ClipAnswer | RequestError
) -> Sequence[Gap]:
    try:
        with while_wanted(clip.wanted):
            return measured_gaps(engine, compute, clip.clip, result)
    except Interrupted:
        return ()


def _reply(
    engine: Engine,
    compute: worker_pb2.Compute,
    clip: ClipRequest,
    result: ClipAnswer | RequestError,
    gaps: Sequence[Gap],
) -> worker_pb2.ComputeResponse:
    if isinstance(result, RequestError):
        return _failed(result)
    try:
        response = clip_response(engine, compute, result)
        fill_quality(response, result, gaps, len(clip.clip))
        return response
    except TensorError as error:
        return _failed(not_finite(error))
    except Exception as error:  # the same boundary
        return _failed(engine_error(error))


def _advanced(
    engine: Engine, request: worker_pb2.Advance, pixels: NDArray[np.uint8] | None
) -> worker_pb2.ComputeResponse:
    clip = _clip_request(request.compute, pixels)
    if [method.WhichOneof("method") for method in request.compute.methods] == ["evaluate"]:
        return _evaluated(engine, request, clip)
    block = advance(engine, clip, request.state, request.budget_seconds, request.seed, request.result)
    try:
        return block_response(engine, request, block)
    except TensorError as error:
        raise not_finite(error) from None


def _evaluated(engine: Engine, request: worker_pb2.Advance, clip: ClipRequest) -> worker_pb2.ComputeResponse:
    compute = request.compute
    engine.model.check_clip(clip.clip)
    frames, height, width, _ = clip.clip.shape
    subject = evaluation_block.EvaluationClip(
        clip, ground_truth(compute.truth, (frames, height, width)), visible(compute, clip.clip)
    )
    asked = evaluation_request(compute.methods[0].evaluate, _method_call)
    block = evaluation_block.advance(engine, subject, asked, request.state, request.budget_seconds, request.seed)
    return evaluation_response(engine, request, block)


def _clip_request(compute: worker_pb2.Compute, pixels: NDArray[np.uint8] | None) -> ClipRequest:
    return ClipRequest(
        clip=_clip(compute) if pixels is None else pixels,
        methods=[_method_call(method) for method in compute.methods],
        target=_selector(compute.target.explained),
        contrast=_selector(compute.target.contrast),
    )


def _clip(compute: worker_pb2.Compute) -> NDArray[np.uint8]:
    """The pixels that a message has or names, uint8 [T, H, W, 3]. Raises RequestError when it does not have all."""
    shape = (compute.frames, compute.height, compute.width, 3)
    pixels = _pixels(compute)
    if len(pixels) != int(np.prod(shape, dtype=np.int64)):
        raise RequestError(
            f"clip: {len(pixels)} bytes for uint8 {list(shape)}", field="clip", reason="WRONG_CLIP_SHAPE"
        )
    return pixels.reshape(shape)


def _pixels(compute: worker_pb2.Compute) -> NDArray[np.uint8]:
    """A copy, because torch asks for writable memory; 0.6 MB at 16 x 112 x 112."""
    if not compute.clip_file:
        return np.frombuffer(bytearray(compute.clip), dtype=np.uint8)
    try:
        return np.fromfile(compute.clip_file, dtype=np.uint8)
    except OSError as error:  # the service no longer waits for this clip and has let go of it
        raise RequestError("the clip is no longer there", field="clip", reason="CLIP_GONE", code=INTERNAL) from error


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
    set_fields = [] if message is None else message.ListFields()
    parameters = {entry.name: list(value) if entry.is_repeated else value for entry, value in set_fields}
    return MethodCall(field.replace("_", "-"), parameters)


def _failed(error: RequestError) -> worker_pb2.ComputeResponse:
    return worker_pb2.ComputeResponse(failure=failure(error))
