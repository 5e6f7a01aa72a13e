"""The DBOS workflow of one clip. Its steps leave names of artefacts in DBOS's record; a worker that takes the clip
over reads them there and goes on with the first block that is not on record.

Nothing may be raised out of a step, since DBOS would take the error for the step's result: what is not foreseen ends
the whole process. Its clips are put back and another process takes them; one that does this again and again fails.
"""

from __future__ import annotations

import os
from collections.abc import Callable
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
"""Exit status of a worker that met what it did not foresee."""


def register_workflow(desk: WorkerContext) -> None:
    """Tell DBOS how to compute a clip. Once per process, before DBOS is launched."""

    # No bound on recoveries: each block counts its own starts.
    @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
    def clip(job: str, number: int, attempt: int) -> str:
        place = ClipKey(job, number, attempt)
        if not _step("begin", lambda: desk.patiently(lambda: begin(desk.database, place))):
            return Outcome.DROPPED
        work = _or_crash(lambda: desk.patiently(lambda: ClipRunner(desk, place)))
        state = ""
        while True:
            before = state
            report: Report = _step("block", lambda: work.block(before))  # noqa: B023  # called at once
            work.put_down()
            state = report.get("state", state)
            if report["outcome"] != Outcome.GOING:
                break
        ended: Report = _step("end", lambda: work.end(report, state))
        work.put_down()
        return str(ended["outcome"])


def _step(name: str, work: Callable[[], T]) -> T:
    return DBOS.run_step({"name": name}, lambda: _or_crash(work))


def _or_crash(work: Callable[[], T]) -> T:
    try:
        return work()
    except Exception:
        get_logger().exception("unforeseen in a job; this worker ends and another takes over")
        os._exit(CRASHED)
