"""The computing of one clip, block by block. All it must remember is in the database and the artefacts."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import sqlalchemy as sa

from actionlens.v1 import answer_pb2, explanation_pb2, job_pb2, model_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.protocol import InferenceBackend, Work
from service.dataplane import timings
from service.dataplane.answer import build_answer, check_response
from service.dataplane.evaluation import evaluating
from service.dataplane.explain_service import frame_report
from service.dataplane.resolved_request import ResolvedRequest
from service.dataplane.truth_mapping import truth_on_frames
from service.decoding.clip import DecodedClip
from service.errors import ActionLensError, FailedPrecondition
from service.jobs.store import transitions
from service.jobs.store.clip_sources import read_clip, read_truth
from service.jobs.store.tables import CLIPS, JOBS
from service.jobs.store.transitions import Advance, ClipKey, Entry
from service.jobs.worker.backend_pool import NoRoom
from service.jobs.worker.context import WorkerContext
from service.jobs.worker.outcome import Fault, Outcome, Report, failure_of, fault_of, trouble_of
from service.jobs.worker.pace import Pace
from service.telemetry.log import get_logger
from service.validation.request import EVALUATE

_LONGEST_WAIT = 30.0
_MODEL_WAIT = 2.0
_LARGEST = 2**31 - 1
"""Of the integers of tables."""
_NOT_FINITE = "VALUES_NOT_FINITE"


class _Over(Exception):
    """The clip is not to be computed any further."""

    def __init__(self, report: Report) -> None:
        super().__init__(report["outcome"])
        self.report = report


class ClipRunner:
    """One clip in work, on the worker's event loop. What fails in a block fails its clip, after some attempts where it
    may pass; what `block` and `end` raise all the same is expected by nobody.

    Private methods that are no coroutines block, and are called in threads, one at a time.
    """

    def __init__(self, context: WorkerContext, key: ClipKey) -> None:
        """Reads the clip's rows, so it blocks."""
        self._context = context
        self._key = key
        self._log = get_logger().bind(job=key.job, clip=key.clip_index)
        self._last = ""
        self._partial = ""
        self._decoded: DecodedClip | None = None
        self._truth: worker_pb2.Truth | None = None
        self._trouble: ActionLensError | None = None
        self._entered = False
        self._up = False
        self._block_seconds = context.settings.jobs.block_seconds
        self._pace = Pace(context.clock)
        self._of_clip = sa.and_(CLIPS.c.job == key.job, CLIPS.c.place == key.clip_index)
        with context.database.reading() as connection:
            job = connection.execute(sa.select(JOBS.c.request, JOBS.c.band).where(JOBS.c.id == key.job)).one()
            self._row = connection.execute(sa.select(CLIPS).where(self._of_clip)).one()
        self._band: int = job.band
        self._request = job_pb2.CreateJobRequest.FromString(job.request)
        self._measures = self._request.method.WhichOneof("method") == EVALUATE

    async def block(self, state: str) -> Report:
        """Take the clip one block further. state: the artefact that the block before left; empty at the start."""
        report = await self._attempted(state, final=False)
        self._last = state
        return report

    async def end(self, report: Report, state: str) -> Report:
        """Publish the outcome of the last block."""
        if report["outcome"] == Outcome.DONE:
            report = await self._attempted(state, final=True)
        match report["outcome"]:
            case Outcome.CANCELLED:
                await self._context.patiently(lambda: self._finish(job_pb2.CLIP_STATE_CANCELLED))
            case Outcome.FAILED:
                failure = explanation_pb2.Failure(**report["failure"])
                self._log.warning("a clip failed", reason=failure.reason, error=failure.message)
                await self._context.patiently(lambda: self._finish(job_pb2.CLIP_STATE_FAILED, failure=failure))
        # Artefacts that earlier executions of it left are swept later.
        left = filter(None, (self._last, state, self._partial))
        await asyncio.to_thread(self._context.artefacts.remove, *left)
        return report

    def put_down(self) -> None:
        """Its block is on DBOS's record, or came to nothing: a worker that stops need not wait for it any longer."""
        if self._up:
            self._up = False
            self._context.put_down()

    async def _take_up(self) -> None:
        await self._context.take_up()
        self._up = True

    async def _attempted(self, state: str, *, final: bool) -> Report:
        """Compute a block; again after trouble that may pass. Until `put_down`, the worker does not stop."""
        context = self._context
        self._trouble = None
        waits = suspicions = 0
        while True:
            self._entered = False
            await self._take_up()
            try:
                return await self._in_turn(state, final=final)
            except _Over as over:
                return over.report
            except Exception as error:
                if not isinstance(error, ActionLensError):
                    self._log.exception("unforeseen in a block of a job")
                self._trouble = trouble_of(error)
            self.put_down()
            match fault_of(self._trouble):
                case Fault.CLIP:
                    return {"outcome": Outcome.FAILED, "failure": failure_of(self._trouble)}
                case Fault.MACHINE:
                    # Neither lost nor failed for it: it waits until there is room, or a backend, again; but not for
                    # a job that is being cancelled.
                    if self._entered:
                        await context.patiently(lambda: transitions.leave(context.database, self._key))
                    try:
                        await context.patiently(lambda: self._enter(begins=False))
                    except _Over as over:
                        return over.report
                case Fault.UNKNOWN:
                    suspicions += 1
                    if suspicions >= context.settings.jobs.attempts:
                        return {"outcome": Outcome.FAILED, "failure": failure_of(self._trouble, suspicions)}
            wait = min(2.0**waits, _LONGEST_WAIT)
            waits += 1
            self._log.warning("a block failed; trying again", error=str(self._trouble), seconds=wait)
            await context.pause(wait)

    async def _in_turn(self, state: str, *, final: bool) -> Report:
        """Compute a block when live answers, a slot and the clip's model allow it."""
        context = self._context
        if not final:
            await context.stand_back(self._block_seconds, lambda: transitions.given_up(context.database, self._key))
        while True:
            try:
                async with context.pool.borrowed(self._request.model, self._band) as backend:
                    # Recorded before the slot goes to the next clip: if that one ends this process, this one is not
                    # to blame.
                    return await self._compute(backend, state, final=final)
            except NoRoom:
                # Nothing is in work: neither a worker that stops nor a cancel waits for another model's turn.
                self.put_down()
                await context.pause(_MODEL_WAIT)
                await self._take_up()
                await context.patiently(lambda: self._enter(begins=False))
                self._entered = False

    async def _compute(self, backend: InferenceBackend, state: str, *, final: bool) -> Report:
        """Have one block computed, or with `final` the result made of the last state, and record it."""
        context, request = self._context, self._request
        model = backend.models()[request.model]
        if request.version and model.version != request.version:
            raise FailedPrecondition(
                f"version: the job asks for {request.model} {request.version}, the worker has {model.version}; "
                "submit it again for this version",
                field="version",
                reason="MODEL_CHANGED",
            )
        entry, held = await context.patiently(lambda: self._begin_block(state))
        begun = context.clock()
        if self._decoded is None:
            self._decoded = await context.patiently(lambda: self._decode(model.input))
        resolved = ResolvedRequest(model, request.target, (request.method,), answer_pb2.OutputOptions())
        block = worker_pb2.Advance(
            compute=self._asked(resolved, self._decoded),
            state=held,
            budget_seconds=0.0 if final else context.settings.jobs.block_seconds,
            seed=request.seed,
            # The explanation so far: when somebody watches, and of the last state.
            result=final or entry.watched,
        )
        work = Work(worker_pb2.ComputeRequest(advance=block), self._decoded.frames)
        reply = await backend.compute(request.model, work, context.settings.jobs.response_seconds)
        check_response(resolved, reply.response)
        seconds = context.clock() - begun
        if final:
            return await context.patiently(lambda: self._record_result(resolved, reply.response))
        self._block_seconds = seconds
        pace = self._pace.after(seconds)
        return await context.patiently(lambda: self._record_block(resolved, reply.response, seconds, pace))

    def _begin_block(self, state: str) -> tuple[Entry, bytes]:
        """Note the start of a block. Returns how the clip stands, and its state."""
        entry = self._enter()
        if self._last and self._last != state:
            # The one that came after it is on record now.
            self._context.artefacts.remove(self._last)
        return entry, self._context.artefacts.read(state) if state else b""

    def _enter(self, *, begins: bool = True) -> Entry:
        """Note the start of a block, when nothing is left to wait for: should it take this process with it, the clips
        that wait are not to blame. Raises _Over when the block is not to be computed."""
        context = self._context
        entry = transitions.enter(context.database, self._key, begins=begins)
        if entry is None:
            raise _Over({"outcome": Outcome.DROPPED})
        if entry.cancelling:
            raise _Over({"outcome": Outcome.CANCELLED})
        if entry.tries > context.settings.jobs.attempts:
            raise _Over({"outcome": Outcome.FAILED, "failure": failure_of(self._trouble, entry.tries - 1)})
        self._entered = True
        return entry

    def _decode(self, size: model_pb2.ModelInput) -> DecodedClip:
        context, field = self._context, f"clips[{self._key.clip_index}]"
        clip = read_clip(context.settings, context.database, context.artefacts, self._row, field)
        decoded = context.decoder.clip(clip, self._request.sampling, size)
        truth = read_truth(context.database, self._row) if self._measures else None
        if truth is not None:
            self._truth = truth_on_frames(truth, decoded, f"{field}.ground_truth")
        return decoded

    def _asked(self, resolved: ResolvedRequest, clip: DecodedClip) -> worker_pb2.Compute:
        if not self._measures:
            return resolved.compute()
        return evaluating(resolved, clip, self._truth)

    # Both may be done twice, when the database did not answer the first time: blobs have the names of their contents.
    def _record_block(
        self, resolved: ResolvedRequest, response: worker_pb2.ComputeResponse, seconds: float, pace: float
    ) -> Report:
        context, key, advanced = self._context, self._key, response.advanced
        objective = advanced.objective if advanced.HasField("objective") else None
        if objective is not None and not math.isfinite(objective):  # no number, and databases differ in taking it
            raise ActionLensError(f"the objective of iteration {advanced.iteration} is {objective}", reason=_NOT_FINITE)
        stored = context.artefacts.write(key.job, f"state-{key.clip_index}-{advanced.iteration}", advanced.state)
        done = Advance(
            iteration=min(advanced.iteration, _LARGEST),
            iterations=min(advanced.iterations, _LARGEST),
            objective=objective,
            seconds=seconds,
            pace=pace,
            partial=self._store_partial(resolved, response) if response.explanations else None,
        )
        transitions.advance(context.database, key, done)
        return {"outcome": Outcome.DONE if advanced.done else Outcome.GOING, "state": stored}

    def _record_result(self, resolved: ResolvedRequest, response: worker_pb2.ComputeResponse) -> Report:
        context, key = self._context, self._key
        answer = self._answer(resolved, response)
        with context.database.reading() as connection:
            seconds = float(connection.scalar(sa.select(CLIPS.c.seconds).where(self._of_clip)) or 0.0)
        timings.job_done(answer, seconds)
        data = answer.SerializeToString()
        stored = context.artefacts.write(key.job, f"result-{key.clip_index}", data)
        self._finish(job_pb2.CLIP_STATE_SUCCEEDED, result=stored, size=len(data))
        return {"outcome": Outcome.SUCCEEDED}

    def _finish(self, state: int, **values: Any) -> None:
        transitions.finish(self._context.database, self._key, state, **values)

    def _store_partial(self, resolved: ResolvedRequest, response: worker_pb2.ComputeResponse) -> str:
        explanation = self._answer(resolved, response).explanations[0]
        name = f"partial-{self._key.clip_index}-{response.advanced.iteration}"
        stored = self._context.artefacts.write(self._key.job, name, explanation.SerializeToString())
        if self._partial and self._partial != stored:
            self._context.artefacts.remove(self._partial)
        self._partial = stored
        return stored

    def _answer(self, resolved: ResolvedRequest, response: worker_pb2.ComputeResponse) -> answer_pb2.Answer:
        assert self._decoded is not None
        return build_answer(resolved, response, frame_report(self._decoded), self._decoded.frames)
