"""Shows answers and progress on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from actionlens.v1 import explanation_pb2
from service.client.results import ExplanationResult, Result
from service.printable import printable
from service.webcam.sparkline import bar

_FILE_WIDTH = 400
_LONG_SECONDS = 10.0


class SafeConsole(Console):
    """A console that writes control characters of texts as escapes: names and notes are of other people."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As the base class."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text, keep="\n\t"), style, control)


class Stage(Protocol):
    """Takes a description of the work that begins now; an empty one before something is printed."""

    def __call__(self, doing: str) -> None: ...


def out() -> Console:
    """Standard output; wide where it is not a terminal, so that lines stay lines for other programs."""
    return SafeConsole(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)


@contextmanager
def stages() -> Iterator[Stage]:
    """A spinner on standard error with what is being done and for how long; nothing where that is no terminal.

    It is erased by an empty description, for whatever is printed would begin in its line. Standard output stays what it
    is: rich would send it to the spinner's terminal, and none to the file that it is written to.
    """
    if not sys.stderr.isatty():
        yield lambda _doing: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        task = progress.add_task("")

        def report(doing: str) -> None:
            if not doing:
                progress.stop()
                return
            progress.reset(task, description=doing)
            progress.start()

        yield report


@contextmanager
def transfer(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Bytes done, speed and time left on standard error; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _whole: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    left = TimeRemainingColumn()
    with Progress(*columns, left, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, whole: progress.update(task, completed=done, total=whole)


def show_prediction(console: Console, prediction: explanation_pb2.Prediction) -> None:
    """The best classes with bars."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    for index, score in enumerate(prediction.top):
        style = "bold cyan" if index == 0 else "dim"
        percent = f"{100 * score.probability:5.1f} %"
        table.add_row("", Text(score.label, style), Text(bar(score.probability), style), Text(percent, style))
    console.print(table)


def show_result(console: Console, name: str, result: Result) -> None:
    """One clip: what it is, why, and how long that took."""
    answer = result.message
    frames, timings = answer.frames, answer.timings
    facts = [f"{answer.model} {answer.version}", f"{len(frames.used)} frames"]
    if frames.effective_fps:
        facts.append(f"{frames.effective_fps:.3g} fps")
    forward = f" (forward {1000 * timings.forward:.0f})" if timings.forward else ""
    facts.append(f"{_time(timings.total)}{forward}")
    console.print(Text.assemble((name, "bold"), ("  " + " · ".join(facts), "dim")))
    for note in frames.notes:
        console.print(f"  {note}", style="yellow", soft_wrap=True)
    show_prediction(console, answer.prediction)
    show_readings(console, result)


def show_readings(console: Console, result: Result) -> None:
    """One line per explanation: the method, what it says, and its own time."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    for name, entry in result.explanations.items():
        failure = f"failed: {entry.message.failure.message}"
        reading = Text(failure, "red") if entry.failed else Text(_about(entry, result) + entry.reading)
        spent = Text(_spent(name, result), "dim", justify="right")
        table.add_row("", Text(name, "green"), spent, reading)
        for note in (*entry.message.notes, *_unmeasured(entry)):
            if note != entry.reading:
                table.add_row("", "", "", Text(note, "dim"))
    if result.explanations:
        console.print(table)
    if (agreement := _agreement(result)) is not None:
        console.print(f"  {agreement}", style="dim", soft_wrap=True)


def _unmeasured(entry: ExplanationResult) -> list[str]:
    reason = entry.message.quality.gap_left_out
    return [f"no insertion-deletion gap: {reason}"] if reason else []


def _agreement(result: Result) -> str | None:
    """How far several explanations agree on when the evidence is, and which one least."""
    if result.agreement is None:
        reason = result.message.quality.agreement_left_out
        return f"no agreement of the methods: {reason}" if reason else None
    said = f"agreement of the methods on when: {result.agreement:.2f} (-1 to 1)"
    each = {
        name: entry.quality["agreement"] for name, entry in result.explanations.items() if "agreement" in entry.quality
    }
    if len(each) < 3:
        return said
    least = min(each, key=lambda name: each[name])
    return f"{said}, least {least} with {each[least]:.2f}"


def _spent(name: str, result: Result) -> str:
    """An explanation's own time, and that of its measures. Where several were one run, each one's is not known, and the
    first has the sum."""
    measuring = dict(zip(result.explanations, result.timings.measure, strict=False))
    if measuring.get(name):
        return f"+{_time(result.explanations[name].seconds, 1)} and {_time(measuring[name])} to measure"
    seconds = {key: entry.seconds for key, entry in result.explanations.items() if not entry.failed}
    if name in seconds and result.timings.explain_together and len(seconds) > 1:
        return f"+{_time(sum(seconds.values()), 1)}" if name == next(iter(seconds)) else "with it"
    return f"+{_time(result.explanations[name].seconds, 1)}"


def _time(seconds: float, digits: int = 0) -> str:
    """A time for people; a job's is no matter of milliseconds."""
    return f"{1000 * seconds:.{digits}f} ms" if seconds < _LONG_SECONDS else duration(seconds)


def duration(seconds: float) -> str:
    """ "14 s", "3 min", "2.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _about(entry: ExplanationResult, result: Result) -> str:
    """The explained class, unless it is the one that the model finds likeliest."""
    target, contrast = entry.message.target, entry.message.contrast
    if entry.message.HasField("contrast"):
        return f"{target.label} and not {contrast.label}: "
    top = result.prediction.top
    return f"{target.label}: " if top and target.index != top[0].index else ""
