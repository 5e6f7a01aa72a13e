"""The computing of one clip, block by block. All it must remember is in the database and the artefacts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from actionlens.v1 import answer_pb2, clip_pb2, explanation_pb2, job_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.protocol import Work
from service.dataplane import timings
from service.dataplane.answer import build_answer, check_response
from service.dataplane.explain_service import frame_report
from service.dataplane.resolved_request import ResolvedRequest
from service.decoding.clip import DecodedClip, decode_clip
from service.errors import ActionLensError, FailedPrecondition
from service.jobs.store import transitions
from service.jobs.store.clip_sources import read_clip
from service.jobs.store.tables import CLIPS, JOBS
from service.jobs.store.transitions import Advance, ClipKey, Entry
from service.jobs.worker.backend_pool import NoRoom
from service.jobs.worker.context import WorkerContext
from service.jobs.worker.outcome import Fault, Outcome, Report, failure_of, fault_of
from service.telemetry.log import get_logger

#: Puts down what a block's reply says, which took so many seconds.
Record = Callable[[worker_pb2.ComputeResponse, float], Report]

_LONGEST_WAIT = 30.0
_MODEL_WAIT = 2.0


class _Over(Exception):
    """The clip is not to be computed any further."""

    def __init__(self, report: Report) -> None:
        super().__init__(report["outcome"])
        self.report = report


class ClipRunner:
    """One clip in work. Called from a thread of its own; nothing it raises is expected."""

    def __init__(self, desk: WorkerContext, place: ClipKey) -> None:
        self._desk = desk
        self._place = place
        self._log = get_logger().bind(job=place.job, clip=place.place)
        self._last = ""
        self._partial = ""
        self._decoded: DecodedClip | None = None
        self._trouble: ActionLensError | None = None
        self._entered = False
        self._up = False
        with desk.database.reading() as connection:
            job = connection.execute(sa.select(JOBS.c.request, JOBS.c.band).where(JOBS.c.id == place.job)).one()
            row = sa.and_(CLIPS.c.job == place.job, CLIPS.c.place == place.place)
            self._row = connection.execute(sa.select(CLIPS).where(row)).one()
        self._band: int = job.band
        self._request = job_pb2.CreateJobRequest.FromString(job.request)

    def block(self, state: str) -> Report:
        """Take the clip one block further. state: the artefact that the block before left; empty at the start."""
        if self._last and self._last != state:
            # The one that came after it is on record now.
            self._desk.artefacts.remove(self._last)
        self._last = state
        return self._attempted(lambda: self._advance(state))

    def end(self, report: Report, state: str) -> Report:
        """Publish what the last block came to."""
        if report["outcome"] == Outcome.DONE:
            report = self._attempted(lambda: self._conclude(state))
        match report["outcome"]:
            case Outcome.CANCELLED:
                self._finish(job_pb2.CLIP_STATE_CANCELLED)
            case Outcome.FAILED:
                failure = explanation_pb2.Failure(**report["failure"])
                self._log.warning("a clip failed", reason=failure.reason, error=failure.message)
                self._finish(job_pb2.CLIP_STATE_FAILED, failure=failure)
        # What earlier executions of it left is swept later.
        self._desk.artefacts.remove(*filter(None, (self._last, state, self._partial)))
        return report

    def put_down(self) -> None:
        """Its block is on DBOS's record, or came to nothing: a worker that stops need not wait for it any longer."""
        if self._up:
            self._up = False
            self._desk.put_down()

    def _finish(self, state: int, **values: Any) -> None:
        self._desk.patiently(lambda: transitions.finish(self._desk.database, self._place, state, **values))

    def _attempted(self, work: Callable[[], Report]) -> Report:
        """Do a block's work; again after trouble that may pass. Until `put_down`, the worker does not stop."""
        desk = self._desk
        self._trouble = None
        waits = suspicions = 0
        while True:
            self._entered = False
            desk.take_up()
            self._up = True
            try:
                return work()
            except _Over as over:
                return over.report
            except ActionLensError as error:
                self._trouble = error
            self.put_down()
            match fault_of(self._trouble):
                case Fault.CLIP:
                    return {"outcome": Outcome.FAILED, "failure": failure_of(self._trouble)}
                case Fault.MACHINE:
                    # Neither lost nor failed for it: it waits until there is room, or a backend, again; but not for
                    # a job that is being cancelled.
                    if self._entered:
                        desk.patiently(lambda: transitions.leave(desk.database, self._place))
                    try:
                        self._enter(begins=False)
                    except _Over as over:
                        return over.report
                case Fault.UNKNOWN:
                    suspicions += 1
                    if suspicions >= desk.settings.jobs.attempts:
                        return {"outcome": Outcome.FAILED, "failure": failure_of(self._trouble, suspicions)}
            wait = min(2.0**waits, _LONGEST_WAIT)
            waits += 1
            self._log.warning("a block failed; trying again", error=str(self._trouble), seconds=wait)
            desk.pause(wait)

    def _enter(self, *, begins: bool = True) -> Entry:
        """Note the start of a block, when nothing is left to wait for: should it take this process with it, the clips
        that wait are not to blame. Raises _Over when the block is not to be computed."""
        desk, place = self._desk, self._place
        entry = desk.patiently(lambda: transitions.enter(desk.database, place, begins=begins))
        if entry is None:
            raise _Over({"outcome": Outcome.DROPPED})
        if entry.cancelling:
            raise _Over({"outcome": Outcome.CANCELLED})
        if entry.tries > desk.settings.jobs.attempts:
            raise _Over({"outcome": Outcome.FAILED, "failure": failure_of(self._trouble, entry.tries - 1)})
        self._entered = True
        return entry

    def _advance(self, state: str) -> Report:
        desk, place = self._desk, self._place

        def record(response: worker_pb2.ComputeResponse, seconds: float) -> Report:
            advanced = response.advanced
            stored = desk.artefacts.write(place.job, f"state-{place.place}-{advanced.iteration}", advanced.state)
            done = Advance(
                iteration=advanced.iteration,
                iterations=advanced.iterations,
                objective=advanced.objective if advanced.HasField("objective") else None,
                seconds=seconds,
                partial=self._store_partial(response) if response.explanations else None,
            )
            desk.patiently(lambda: transitions.advance(desk.database, place, done))
            return {"outcome": Outcome.DONE if advanced.done else Outcome.GOING, "state": stored}

        desk.stand_back()
        return self._compute(state, desk.settings.jobs.block_seconds, record)

    def _conclude(self, state: str) -> Report:
        desk, place = self._desk, self._place

        def record(response: worker_pb2.ComputeResponse, _: float) -> Report:
            answer = self._answer(response)
            timings.job_done(answer, desk.patiently(self._seconds))
            data = answer.SerializeToString()
            stored = desk.artefacts.write(place.job, f"result-{place.place}", data)
            self._finish(job_pb2.CLIP_STATE_SUCCEEDED, result=stored, size=len(data))
            return {"outcome": Outcome.SUCCEEDED}

        return self._compute(state, 0.0, record, result=True)

    def _seconds(self) -> float:
        """Of computing so far."""
        place = self._place
        row = sa.and_(CLIPS.c.job == place.job, CLIPS.c.place == place.place)
        with self._desk.database.reading() as connection:
            return float(connection.scalar(sa.select(CLIPS.c.seconds).where(row)) or 0.0)

    def _store_partial(self, response: worker_pb2.ComputeResponse) -> str:
        explanation = self._answer(response).explanations[0]
        name = f"partial-{self._place.place}-{response.advanced.iteration}"
        stored = self._desk.artefacts.write(self._place.job, name, explanation.SerializeToString())
        if self._partial and self._partial != stored:
            self._desk.artefacts.remove(self._partial)
        self._partial = stored
        return stored

    def _compute(self, state: str, budget: float, record: Record, *, result: bool = False) -> Report:
        """Have one block computed and recorded. result: the explanation so far, also when nobody watches."""
        desk = self._desk
        while True:
            asking = self._ask(state, budget, record, result)
            try:
                return asyncio.run_coroutine_threadsafe(asking, desk.loop).result()
            except NoRoom:
                # Nothing is in work: neither a worker that stops nor a cancel waits for another model's turn.
                self.put_down()
                desk.pause(_MODEL_WAIT)
                desk.take_up()
                self._up = True
                self._enter(begins=False)
                self._entered = False

    async def _ask(self, state: str, budget: float, record: Record, result: bool) -> Report:
        request, desk = self._request, self._desk
        async with desk.bench.borrowed(request.model, self._band) as backend:
            model = backend.models()[request.model]
            if request.version and model.version != request.version:
                raise FailedPrecondition(
                    f"version: the job asks for {request.model} {request.version}, the worker has {model.version}; "
                    "submit it again for this version",
                    field="version",
                    reason="MODEL_CHANGED",
                )
            entry = await asyncio.to_thread(self._enter)
            begun = time.monotonic()
            if self._decoded is None:
                self._decoded = await asyncio.to_thread(
                    lambda: decode_clip(self._clip(), request.sampling, model.input, desk.settings.limits)
                )
            self._asked = ResolvedRequest(model, request.target, (request.method,), answer_pb2.OutputOptions())
            block = worker_pb2.Advance(
                compute=self._asked.compute(),
                state=await asyncio.to_thread(desk.artefacts.read, state) if state else b"",
                budget_seconds=budget,
                seed=request.seed,
                result=result or entry.watched,
            )
            work = Work(worker_pb2.ComputeRequest(advance=block), self._decoded.frames)
            reply = await backend.compute(request.model, work, desk.settings.jobs.response_seconds)
            check_response(self._asked, reply.response)
            # Before the place goes to the next clip: if that one ends this process, this one is not to blame.
            return await asyncio.to_thread(record, reply.response, time.monotonic() - begun)

    def _clip(self) -> clip_pb2.Clip:
        desk, field = self._desk, f"clips[{self._place.place}]"
        return desk.patiently(lambda: read_clip(desk.settings, desk.database, desk.artefacts, self._row, field))

    def _answer(self, response: worker_pb2.ComputeResponse) -> answer_pb2.Answer:
        assert self._decoded is not None
        return build_answer(self._asked, response, frame_report(self._decoded), self._decoded.frames)
