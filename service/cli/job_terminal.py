"""Shows jobs on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from actionlens.v1 import job_pb2
from service.cli.terminal import SafeConsole, duration
from service.client.async_job_client import JobCallback
from service.client.job_requests import CLIP_STATES, JOB_STATES, state_name
from service.validation.request import method_name

_LEVELS = "▁▂▃▄▅▆▇█"
_SPARKS = 24
_STYLES = {"succeeded": "green", "partial": "yellow", "failed": "red", "cancelled": "yellow", "running": "cyan"}


def job_state(job: job_pb2.Job) -> str:
    """The state as people read it."""
    return "cancelling" if job.cancelling else state_name(job.state, JOB_STATES)


def reason_of_all(job: job_pb2.Job, failed: Iterable[job_pb2.JobClipStatus]) -> str:
    """Why the job failed, when it failed and these clips of it all failed of the same; else empty."""
    alike = all(clip.failure.message == job.failure.message for clip in failed)
    return job.failure.message if alike else ""


def spark(values: Sequence[float], width: int = _SPARKS) -> str:
    """A series as a line of bars, lowest to highest; long ones by the last value of each stretch."""
    if not values:
        return ""
    if len(values) > width:
        values = [values[round((index + 1) * len(values) / width) - 1] for index in range(width)]
    low, span = min(values), max(values) - min(values)
    return "".join(_LEVELS[round((value - low) / span * (len(_LEVELS) - 1)) if span > 0 else 0] for value in values)


def progress_line(update: job_pb2.WatchJobResponse) -> str:
    """The progress of a job in one line: "clip 3 of 20, iteration 120 of 300, 14 s left"."""
    job, counts = update.job, update.job.clips
    ended = counts.succeeded + counts.failed + counts.cancelled
    if not update.running:
        return f"{job_state(job)}, {ended} of {counts.total} clips done"
    clip = update.running[0]
    parts = [f"clip {clip.index + 1} of {counts.total}"]
    if clip.progress.iterations:
        parts.append(f"iteration {clip.progress.iteration} of {clip.progress.iterations}")
    if clip.progress.HasField("left"):
        parts.append(f"{duration(clip.progress.left.ToTimedelta().total_seconds())} left")
    if job.cancelling:
        parts.append("cancelling")
    return ", ".join(parts)


@contextmanager
def following(job: job_pb2.Job) -> Iterator[JobCallback]:
    """A bar on standard error for a job, and the last line of its objective; where that is no terminal, a line
    whenever a clip has ended."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[objective]}", style="cyan"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=SafeConsole(stderr=True), transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(f"{method_name(job.method)}: queued", total=1.0, objective="")

        def report(update: job_pb2.WatchJobResponse) -> None:
            values = update.objective.y
            text = f"{spark(values)} {values[-1]:.3g}" if values else ""
            about = f"{method_name(job.method)}: {progress_line(update)}"
            progress.update(task, description=about, completed=_share(update), objective=text)

        yield report


class _Lines:
    def __init__(self) -> None:
        self._last = (-1, "")

    def __call__(self, update: job_pb2.WatchJobResponse) -> None:
        counts = update.job.clips
        now = (counts.succeeded + counts.failed + counts.cancelled, job_state(update.job))
        if now != self._last:
            self._last = now
            print(f"{update.job.id}: {now[1]}, {now[0]} of {counts.total} clips done", file=sys.stderr, flush=True)


def _share(update: job_pb2.WatchJobResponse) -> float:
    counts = update.job.clips
    done = float(counts.succeeded + counts.failed + counts.cancelled)
    done += sum(c.progress.iteration / c.progress.iterations for c in update.running if c.progress.iterations)
    return done / max(1, counts.total)


def show_jobs(console: Console, jobs: Iterable[job_pb2.Job]) -> None:
    """A table of jobs."""
    table = Table(
        "id", "state", "method", "model", "clips", "failed", "tenant", "made (UTC)", box=None, header_style="bold"
    )
    for job in jobs:
        counts = job.clips
        table.add_row(
            job.id,
            Text(job_state(job), _STYLES.get(job_state(job), "")),
            method_name(job.method),
            job.model,
            f"{counts.succeeded}/{counts.total}",
            Text(str(counts.failed), "red") if counts.failed else "",
            job.tenant,
            job.created.ToDatetime().strftime("%Y-%m-%d %H:%M:%S"),
        )
    console.print(table)


def show_job(console: Console, job: job_pb2.Job, clips: Sequence[job_pb2.JobClipStatus]) -> None:
    """One job with its clips."""
    state = job_state(job)
    priority = job_pb2.JobPriority.Name(job.priority).removeprefix("JOB_PRIORITY_").lower()
    console.print(Text.assemble((job.id, "bold"), "  ", (state, _STYLES.get(state, ""))))
    console.print(
        f"  {method_name(job.method)} on {job.model} {job.version}, tenant {job.tenant}, priority {priority}, "
        f"seed {job.seed}",
        soft_wrap=True,
    )
    if shared := reason_of_all(job, clips):
        console.print(Text(f"  {shared}", "red"), soft_wrap=True)
    if job.HasField("expires"):
        console.print(f"  results are kept until {job.expires.ToDatetime():%Y-%m-%d %H:%M} UTC", style="dim")
    table = Table(box=None, header_style="bold", padding=(0, 2))
    for column in ("clip", "name", "state", "iteration", "seconds", ""):
        table.add_column(column)
    for clip in clips:
        name = state_name(clip.state, CLIP_STATES)
        steps = f"{clip.progress.iteration}/{clip.progress.iterations}" if clip.progress.iterations else ""
        spent = f"{clip.seconds:.1f}" if clip.seconds else ""
        reason = Text("" if shared else clip.failure.message, "red")
        table.add_row(str(clip.index), clip.name, Text(name, _STYLES.get(name, "")), steps, spent, reason)
    console.print(table)
