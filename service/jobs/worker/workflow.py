"""The DBOS workflow of one clip. Its steps leave names of artefacts in DBOS's record; a worker that takes the clip
over reads them there and goes on with the first block that is not on record.

Nothing may be raised out of a step, since DBOS would take the error for the step's result. Nothing that a clip holds
may end the process either, which has others' clips in work: what nobody foresaw is tried again, and then fails the
clip. Only where DBOS itself cannot keep its record does the process end; its clips are put back for the next one.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dbos import DBOS
from sqlalchemy.exc import SQLAlchemyError

from actionlens.v1 import explanation_pb2
from service.jobs.store.queue import WORKFLOW
from service.jobs.store.transitions import ClipKey, abandon, begin
from service.jobs.worker.clip_runner import ClipRunner
from service.jobs.worker.context import CRASHED, WorkerContext
from service.jobs.worker.outcome import Outcome, Report, failure_of, trouble_of
from service.telemetry.log import get_logger

T = TypeVar("T")

_PAUSE = 0.5
_UNFORESEEN = failure_of(trouble_of(Exception()))


def register_workflow(context: WorkerContext) -> None:
    """Tell DBOS how to compute a clip. Once per process, before DBOS is launched on the context's event loop."""

    # No bound on recoveries: each block counts its own starts.
    @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
    async def clip(job: str, clip_index: int, attempt: int) -> str:
        try:
            return await _computed(context, ClipKey(job, clip_index, attempt))
        except SQLAlchemyError:  # of DBOS: ours are waited for, or are the clip's
            get_logger().exception("the record of jobs cannot be kept; this worker ends and another takes over")
            os._exit(CRASHED)


async def _computed(context: WorkerContext, key: ClipKey) -> str:
    """Take a clip to its end. Returns how it ended."""

    async def first() -> bool:
        return await _contained(context, key, lambda: context.patiently(lambda: begin(context.database, key)), False)

    async def block() -> Report:
        failed: Report = {"outcome": Outcome.FAILED, "failure": _UNFORESEEN}
        return await _contained(context, key, lambda: runner.block(state), failed)

    async def end() -> Report:
        failed: Report = {"outcome": Outcome.FAILED, "failure": _UNFORESEEN}
        return await _contained(context, key, lambda: runner.end(report, state), failed)

    if not await DBOS.run_step_async({"name": "begin"}, first):
        return Outcome.DROPPED
    made = await _contained(context, key, lambda: context.patiently(lambda: ClipRunner(context, key)), None)
    if made is None:
        return Outcome.FAILED
    runner = made
    state = ""
    while True:
        report = await DBOS.run_step_async({"name": "block"}, block)
        runner.put_down()
        state = report.get("state", state)
        if report["outcome"] != Outcome.GOING:
            break
    ended = await DBOS.run_step_async({"name": "end"}, end)
    runner.put_down()
    return str(ended["outcome"])


async def _contained(context: WorkerContext, key: ClipKey, work: Callable[[], Awaitable[T]], otherwise: T) -> T:
    """Do something for a clip; again when that raises, and after some attempts fail the clip and return `otherwise`."""
    log = get_logger().bind(job=key.job, clip=key.clip_index)
    for attempt in range(context.settings.jobs.attempts):
        if attempt:
            await context.pause(_PAUSE * 2.0**attempt)
        try:
            return await work()
        except Exception as error:
            log.exception("unforeseen in a job; trying again, and then its clip fails")
            failure = explanation_pb2.Failure(**failure_of(trouble_of(error)))
    try:
        await context.patiently(lambda: abandon(context.database, key, failure))
    except Exception:
        log.exception("the failure of a clip cannot be put on record")
    return otherwise
