"""Evaluates explanations of one clip from its start to its end, in blocks; and tells what that costs."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from actionlens.v1 import answer_pb2, job_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.protocol import InferenceBackend, Work
from service.dataplane import timings
from service.dataplane.answer import build_answer, check_response
from service.dataplane.explain_service import ExplainService, frame_report
from service.dataplane.failures import error_of
from service.dataplane.resolved_request import ResolvedRequest
from service.dataplane.served_models import ServedModels
from service.dataplane.truth_mapping import truth_on_frames, visible_part
from service.decoding.clip import DecodedClip
from service.errors import InvalidArgument
from service.validation.measures import check_evaluate
from service.validation.request import EVALUATE, check_message, resolve_target
from service.validation.truth_checks import check_counts, complete_truth

Progress = Callable[[job_pb2.ClipProgress], None]
"""Called after each block."""

_PLAN_SECONDS = 30.0
_METHOD = f"method.{EVALUATE}"


async def plan_evaluation(
    request: job_pb2.PlanEvaluationRequest, served: ServedModels, backend: InferenceBackend
) -> job_pb2.PlanEvaluationResponse:
    """Count what evaluating one clip takes. Raises as for a job, and as the backend does."""
    check_message(request)
    model = served.find(request.model, request.version)
    check_evaluate(request.evaluate, model, EVALUATE)
    asked = worker_pb2.Plan(evaluate=request.evaluate, frames=request.frames)
    reply = await backend.compute(model.name, Work(worker_pb2.ComputeRequest(plan=asked)), _PLAN_SECONDS)
    if reply.response.HasField("failure"):
        raise error_of(reply.response.failure, "")
    return job_pb2.PlanEvaluationResponse(plan=reply.response.plan)


async def evaluate_clip(
    service: ExplainService, request: job_pb2.CreateJobRequest, progress: Progress | None = None
) -> answer_pb2.Answer:
    """Do a job of one uploaded clip here and now: as a job worker does, without its queue, its store or its retries.

    The request is completed in place. Raises as a job of one clip is refused or fails.
    """
    check_counts(request.clips)
    check_message(request)
    if len(request.clips) != 1 or request.clips[0].WhichOneof("source") != "clip":
        raise InvalidArgument("clips: give one clip, by its content", field="clips")
    if request.method.WhichOneof("method") != EVALUATE:
        raise InvalidArgument("method: is no evaluation", field="method")
    model = service.served_models.find(request.model, request.version)
    check_evaluate(request.method.evaluate, model, _METHOD)
    check_target(request)
    target = resolve_target(request.target, model, "target")
    job = request.clips[0]
    complete_truth(job.ground_truth, model, "clips[0].ground_truth")
    clip = await service.decode(job.clip, request.sampling, model.input)
    resolved = ResolvedRequest(model, target, (request.method,), answer_pb2.OutputOptions())
    compute = evaluating(resolved, clip, truth_on_frames(job.ground_truth, clip, "clips[0].ground_truth"))
    if not request.HasField("seed"):
        request.seed = secrets.randbits(32)
    settings = service.settings.jobs
    state, seconds = b"", 0.0
    while True:
        block = worker_pb2.Advance(
            compute=compute, state=state, budget_seconds=settings.block_seconds, seed=request.seed, result=True
        )
        work = Work(worker_pb2.ComputeRequest(advance=block), clip.frames)
        reply = await service.backend.compute(model.name, work, settings.response_seconds)
        check_response(resolved, reply.response)
        advanced = reply.response.advanced
        state, seconds = advanced.state, seconds + reply.response.timings.total
        if progress is not None:
            progress(job_pb2.ClipProgress(iteration=advanced.iteration, iterations=advanced.iterations))
        if advanced.done:
            answer = build_answer(resolved, reply.response, frame_report(clip), clip.frames)
            timings.job_done(answer, seconds)
            return answer


def check_target(request: job_pb2.CreateJobRequest) -> None:
    """Raise InvalidArgument for an evaluation with a contrast."""
    if request.target.HasField("contrast"):
        raise InvalidArgument("target.contrast: measures are of one class; leave it out", field="target.contrast")


def evaluating(resolved: ResolvedRequest, clip: DecodedClip, truth: worker_pb2.Truth | None) -> worker_pb2.Compute:
    """The worker's request to evaluate a clip, without its pixels. truth: on the clip's frames; None: nothing is
    known."""
    compute = resolved.compute()
    if truth is not None:
        compute.truth.CopyFrom(truth)
    compute.visible.CopyFrom(visible_part(clip.placement))
    return compute
