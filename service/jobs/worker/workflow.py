"""The DBOS workflow of one clip. Its steps leave names of artefacts in DBOS's record; a worker that takes the clip
over reads them there and goes on with the first block that is not on record.

Nothing may be raised out of a step, since DBOS would take the error for the step's result: an unforeseen error ends
the whole process. Its clips are put back and another process takes them; one that does this again and again fails.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable
from typing import TypeVar

from dbos import DBOS

from service.jobs.store.queue import WORKFLOW
from service.jobs.store.transitions import ClipKey, begin
from service.jobs.worker.clip_runner import ClipRunner
from service.jobs.worker.context import WorkerContext
from service.jobs.worker.outcome import Outcome, Report
from service.telemetry.log import get_logger

T = TypeVar("T")

CRASHED = 70
"""Exit status of a worker that met an unforeseen error."""


def register_workflow(context: WorkerContext) -> None:
    """Tell DBOS how to compute a clip. Once per process, before DBOS is launched on the context's event loop."""

    # No bound on recoveries: each block counts its own starts.
    @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
    async def clip(job: str, clip_index: int, attempt: int) -> str:
        key = ClipKey(job, clip_index, attempt)

        async def first() -> bool:
            return await _or_crash(context.patiently(lambda: begin(context.database, key)))

        async def block() -> Report:
            return await _or_crash(runner.block(state))

        async def end() -> Report:
            return await _or_crash(runner.end(report, state))

        if not await DBOS.run_step_async({"name": "begin"}, first):
            return Outcome.DROPPED
        runner = await _or_crash(context.patiently(lambda: ClipRunner(context, key)))
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


async def _or_crash(work: Awaitable[T]) -> T:
    try:
        return await work
    except Exception:
        get_logger().exception("unforeseen in a job; this worker ends and another takes over")
        os._exit(CRASHED)
