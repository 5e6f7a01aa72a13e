"""Answers clips: check, decode, compute, put together. Knows nothing of gRPC, so that every entry can use it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import answer_pb2, clip_pb2, model_pb2, service_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.protocol import InferenceBackend, Reply, Work
from service.concurrency.thread_pool import Pool
from service.dataplane import timings
from service.dataplane.answer import build_answer, check_response
from service.dataplane.cost_estimates import CostEstimates
from service.dataplane.resolved_request import ResolvedRequest, resolve_clip
from service.dataplane.served_models import ServedModels
from service.decoding.clip import DecodedClip
from service.decoding.process.confinement import can_filter
from service.decoding.process.decoder import make_decoder
from service.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from service.ingress.compute_budget import ComputeBudget
from service.settings import BackendName, DecoderPlace, Settings
from service.telemetry import spans as tracing
from service.telemetry.decoder_metrics import DecoderMetrics
from service.telemetry.log import get_logger
from service.telemetry.metrics import Metrics
from service.telemetry.records import record_answer

TOO_COSTLY = "TOO_COSTLY"
"""Reason of the refusal of what takes a worker longer than it may for one batch, whatever the caller would wait."""
_RETRY_SECONDS = 1.0


@dataclass(slots=True)
class _Stage:
    """The stage that a request has reached, for the message when its time is up."""

    name: str = "checking the request"


class ExplainService:
    """Answers clips; streams borrow its parts. Use from one event loop."""

    def __init__(self, settings: Settings, backend: InferenceBackend, metrics: Metrics) -> None:
        self.settings = settings
        self.backend = backend
        self.metrics = metrics
        self.served_models = ServedModels(backend, settings.default_model)
        self.costs = CostEstimates()
        self._budget = ComputeBudget(settings.quotas.compute_seconds)
        # Two pools, because the decoding of one long file may take its threads for many seconds, and a live stream
        # must not wait for that.
        self._clip_pool = Pool(settings.decode_threads, "clip")
        self.frame_pool = Pool(settings.decode_threads, "frame")
        self.clip_decoder = make_decoder(settings)
        self.frame_decoder = make_decoder(settings)
        metrics.register(DecoderMetrics(lambda: self.clip_decoder.restarts + self.frame_decoder.restarts))
        self._in_flight = 0
        self._draining = False

    def start_decoders(self) -> None:
        """Let the decoders get ready, so that the first clip and frame need not wait. Raises Unavailable."""
        self.clip_decoder.start()
        self.frame_decoder.start()
        if self.settings.decoder.place is DecoderPlace.PROCESS and not can_filter():
            get_logger().info(
                "decoders may make any system call, the network's too; "
                "pip install 'actionlens[seccomp]', and libseccomp, bounds them"
            )

    def drain(self) -> None:
        """Refuse new clips from now on."""
        self._draining = True

    def close(self) -> None:
        """Stop the threads and decoders."""
        self._clip_pool.close()
        self.frame_pool.close()
        self.clip_decoder.close()
        self.frame_decoder.close()

    async def explain_clip(self, request: service_pb2.ExplainClipRequest, deadline: float) -> answer_pb2.Answer:
        """Answer one clip.

        deadline: seconds from now that the caller will wait. Raises InvalidArgument, NotFound and FailedPrecondition
        naming the field, ResourceExhausted and Unavailable with the time to wait, and DeadlineExceeded.
        """
        started = time.perf_counter()
        resolved = resolve_clip(request, self.served_models)
        self._check_cost(resolved, deadline)
        stage = _Stage()
        with tracing.answering("clip", resolved.model.name, since=started):
            try:
                async with self._admitted(), asyncio.timeout(deadline):
                    answer = await self._answer(resolved, request, started + deadline, stage)
            except TimeoutError:
                raise DeadlineExceeded(
                    f"the deadline of {deadline:.3g} s passed while {stage.name}; allow more time or send a smaller "
                    "clip"
                ) from None
            timings.delivered(answer, started)
            self.metrics.clip_answered(record_answer(answer, tracing.trace_id()))
        return answer

    async def _answer(
        self, resolved: ResolvedRequest, request: service_pb2.ExplainClipRequest, deadline: float, stage: _Stage
    ) -> answer_pb2.Answer:
        stage.name = "decoding the clip"
        queued = time.perf_counter()
        clip, waited, decoding = await self._decoded(request.clip, request.sampling, resolved.model.input)
        tracing.stage("queue", queued, queued + waited)
        tracing.stage("decode", queued + waited, queued + waited + decoding)
        stage.name = "computing"
        reply = await self.compute(resolved, clip.frames, clip.placement, deadline - time.perf_counter())
        stage.name = "putting the answer together"
        computed = time.perf_counter()
        answer, _, _ = await self._clip_pool.run(
            lambda: build_answer(resolved, reply.response, frame_report(clip), clip.frames)
        )
        tracing.stage("encode", computed, time.perf_counter())
        timings.served(answer, reply, decode=decoding, waited=waited)
        return answer

    async def compute(
        self,
        resolved: ResolvedRequest,
        frames: NDArray[np.uint8],
        placement: answer_pb2.Placement,
        deadline: float,
    ) -> Reply:
        """Let the backend answer uint8 [T, height, width, 3].

        Raises as the backend does, the worker's refusals, and QuotaExceeded.
        """
        if deadline <= 0:
            raise DeadlineExceeded("the deadline passed before the clip could be computed")
        self._check_cost(resolved, deadline)
        self._budget.check()
        begun = time.perf_counter()
        work = Work(worker_pb2.ComputeRequest(compute=resolved.compute(placement)), frames)
        reply = await self.backend.compute(resolved.model.name, work, deadline)
        tracing.computed(begun, reply)
        self._budget.spend(reply.response.timings.total / max(1, reply.response.timings.batch_size))
        check_response(resolved, reply.response)
        self.costs.add(resolved.model.name, resolved.methods, reply.response, resolved.full.gap)
        return reply

    def _check_cost(self, resolved: ResolvedRequest, deadline: float) -> None:
        """Raise DeadlineExceeded for what surely takes longer than the caller waits, ResourceExhausted for what takes
        longer than a worker may for one batch before it is killed."""
        needed = self.costs.least(resolved.model.name, resolved.methods, resolved.full.gap)
        most = self.settings.response_seconds if self.settings.backend is BackendName.TORCHSERVE else math.inf
        if not needed or needed <= min(deadline, most):
            return
        count = len(resolved.methods)
        what = "the method takes" if count == 1 else f"the {count} methods take"
        if needed > most:
            raise ResourceExhausted(
                f"{what} about {needed:.3g} s here, and one request may take {most:.3g} s; ask for "
                f"{'a cheaper one' if count == 1 else 'fewer'} at a time",
                field=f"{resolved.path}methods",
                reason=TOO_COSTLY,
            )
        raise DeadlineExceeded(
            f"{what} about {needed:.3g} s here, longer than the deadline of {deadline:.3g} s; allow more time or ask "
            f"for {'a cheaper one' if count == 1 else 'fewer'}",
            field=f"{resolved.path}methods",
            reason="DEADLINE_TOO_SHORT",
        )

    async def decode(
        self, clip: clip_pb2.Clip, sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput
    ) -> DecodedClip:
        """Decode a clip in the threads for clips. Raises as `Decoder.clip`."""
        decoded, _, _ = await self._decoded(clip, sampling, model_input)
        return decoded

    async def _decoded(
        self, clip: clip_pb2.Clip, sampling: clip_pb2.Sampling, model_input: model_pb2.ModelInput
    ) -> tuple[DecodedClip, float, float]:
        """The clip, and the seconds that it waited and took."""
        return await self._clip_pool.run(lambda: self.clip_decoder.clip(clip, sampling, model_input))

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        """Bound the clips that are held in memory, not only those at the backend."""
        if self._draining:
            raise Unavailable("the service is shutting down; another instance may answer", retry_after=_RETRY_SECONDS)
        most = self.backend.capacity() + self.settings.queue
        if self._in_flight >= most:
            raise ResourceExhausted(
                f"{most} clips are being answered or wait already; try again later", retry_after=_RETRY_SECONDS
            )
        self._in_flight += 1
        self.metrics.clips.inc()
        try:
            yield
        finally:
            self._in_flight -= 1
            self.metrics.clips.dec()


def frame_report(clip: DecodedClip) -> answer_pb2.FrameReport:
    """Report the frames of the source that a decoded clip has."""
    return answer_pb2.FrameReport(
        used=clip.indices,
        timestamps=clip.timestamps,
        effective_fps=clip.effective_fps,
        source_width=clip.source_width,
        source_height=clip.source_height,
        placement=clip.placement,
        notes=clip.notes,
    )
