"""Shows evaluations on a terminal: what will be done, the table as clips come, and what it means."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from actionlens.v1 import job_pb2, model_pb2
from service.cli.evaluation_jobs import Report
from service.cli.terminal import duration
from service.evaluation.earlier_evaluation import EarlierEvaluation, compare_sets, compared_sets
from service.evaluation.evaluated_set import EvaluatedSet
from service.evaluation.measurement import EXACT_MASK, HIGHER, LOWER, RANDOM, title_of
from service.evaluation.report_files import cell
from service.evaluation.sentences import direction, findings, left_out, warnings

_ARROWS = {HIGHER: " ↑", LOWER: " ↓"}
_MOST_SENTENCES = 30

_EVERYWHERE = (RANDOM, EXACT_MASK)
"""Baselines of every measure; others are of single ones."""


def show_measures(console: Console, model: model_pb2.Model) -> None:
    """One line for each measure: what it says, which truth it needs, its cost, its parameters."""
    table = Table("measure", "what it says", "needs", "forwards", "parameters", box=None, header_style="bold")
    for support in model.measures:
        parameters = ", ".join(parameter.name for parameter in support.parameters)
        if support.supported:
            table.add_row(
                Text(support.measure, "green"),
                support.description,
                ", ".join(support.needs),
                str(support.forwards),
                parameters,
            )
        else:
            table.add_row(Text(support.measure, "dim"), Text(f"not on this model: {support.reason}", "dim"), "", "", "")
    console.print(table)
    console.print("forwards: clips through the network for one clip and method, with default parameters", style="dim")


def show_plan(
    console: Console,
    model: str,
    clips: int,
    methods: Sequence[str],
    plan: job_pb2.EvaluationPlan,
    seconds: float | None,
    jobs: Sequence[str],
) -> None:
    """What will be done and what it will take. seconds: of all clips, where it can be told. jobs: methods that take
    their own time, which nobody knows before."""
    whole = clips * plan.forwards
    console.print(
        f"[bold]{model}[/bold]: {clips} clip{'s' if clips != 1 else ''}, {', '.join(methods) or 'no method'}",
        soft_wrap=True,
    )
    for measure in plan.measures:
        times = f"{measure.times} x {measure.forwards} forwards" if measure.forwards else "no forwards"
        console.print(f"  {measure.measure}: {times} a clip", soft_wrap=True)
    line = f"  {whole} forwards in all"
    if seconds is not None:
        line += f", about {duration(seconds)} on one worker, as the first clip has it"
    if jobs:
        line += f"; {', '.join(jobs)} take{'s' if len(jobs) == 1 else ''} more, as a job does"
    console.print(line, soft_wrap=True)


@contextmanager
def live_table(lines: bool) -> Iterator[Report]:
    """The table of the measures' own numbers on standard error, redrawn as clips come; where that is no terminal a line
    per clip. lines: never the table."""
    if lines or not sys.stderr.isatty():
        last = ""

        def report(_: EvaluatedSet | None, done: str, __: str) -> None:
            nonlocal last
            if done != last:
                last = done
                print(done, file=sys.stderr, flush=True)

        yield report
        return
    console = Console(stderr=True)
    with Live(console=console, transient=True, auto_refresh=False, redirect_stdout=False) as live:
        shown: Group | Text = Text("")

        def draw(found: EvaluatedSet | None, done: str, now: str) -> None:
            nonlocal shown
            if found is not None and found.clips:
                own = [(measure, found.own_value(measure)) for measure in found.measures]
                known = [method for method in found.methods if method not in found.baselines or method in _EVERYWHERE]
                tables = value_tables(found, own, known, console.width)
                shown = Group(*(part for table in tables for part in (table, "")))
            live.update(Group(shown, Text(", ".join(filter(None, (done, now))), "dim")), refresh=True)

        yield draw


def value_tables(
    found: EvaluatedSet, values: Sequence[tuple[str, str]], methods: Sequence[str], width: int
) -> list[Table]:
    """Rows of values, columns of methods, in as many tables as it takes for no column to be broken.

    The best mean of all methods is bold. width: of the terminal, in characters.
    """
    lines = {(line.measure, line.value, line.method): line for line in found.summaries}
    labels = [_label(found, values, number) for number in range(len(values))]
    cells = {
        method: [cell(lines.get((measure, value, method)), len(found.clips)) for measure, value in values]
        for method in methods
    }
    room = width - max(map(len, labels)) - 2
    parts: list[list[str]] = [[]]
    left = room
    for method in methods:
        takes = max(len(_heading(method)), *map(len, cells[method])) + 2
        if parts[-1] and takes > left:
            parts.append([])
            left = room
        parts[-1].append(method)
        left -= takes
    best = [_best(found, measure, value) for measure, value in values]
    tables = []
    for part in parts:
        table = Table("measure", box=None, header_style="bold", padding=(0, 1))
        for method in part:
            style = "dim" if method in found.baselines else ""
            table.add_column(Text(_heading(method), style), justify="right", overflow="fold")
        for number, label in enumerate(labels):
            row = [Text(label, "cyan" if label[0] == " " else "")]
            for method in part:
                style = "bold green" if method == best[number] else "dim" if method in found.baselines else ""
                row.append(Text(cells[method][number], style))
            table.add_row(*row)
        tables.append(table)
    return tables


def _heading(method: str) -> str:
    return method or "each clip"


def _label(found: EvaluatedSet, values: Sequence[tuple[str, str]], number: int) -> str:
    """The name of a row: with its measure where that begins, and its direction and unit."""
    measure, value = values[number]
    begins = number == 0 or values[number - 1][0] != measure
    name = title_of(measure, value) if begins else f"  {value}"
    own = (line.unit for line in found.summaries if (line.measure, line.value) == (measure, value))
    unit = next((f" {unit}" for unit in own if unit), "")
    return f"{name}{_ARROWS.get(found.table.better(measure, value), '')}{unit}"


def _best(found: EvaluatedSet, measure: str, value: str) -> str | None:
    """The method of the best mean, where there are several and one way is better."""
    means = {
        line.method: line.mean
        for line in found.summaries
        if (line.measure, line.value) == (measure, value)
        and line.mean is not None
        and line.method not in found.baselines
    }
    better = found.table.better(measure, value)
    if len(means) < 2 or not better:
        return None
    return (max if better == HIGHER else min)(means, key=means.__getitem__)


def show_evaluation(console: Console, found: EvaluatedSet, earlier: EarlierEvaluation | None = None) -> None:
    """The whole table, and below it what the tests say, what to be careful about, and what was left out.

    earlier: what to compare with.
    """
    against = compared_sets(compare_sets(found, earlier), earlier.name) if earlier else []
    there = {(line.measure, line.method) for line in found.summaries}
    for measure in found.measures:
        values = [(own, value) for own, value in found.values if own == measure]
        methods = [method for method in found.methods if (measure, method) in there]
        for table in value_tables(found, values, methods, console.width):
            console.print(table)
            console.print()
    console.print(
        f"mean ± standard deviation over {len(found.clips)} clips, or as many as in brackets; ↑ {direction(HIGHER)}, "
        f"↓ {direction(LOWER)}",
        style="dim",
    )
    right, known = found.correct
    if known:
        console.print(f"the model has {right} of {known} clips right", style="dim")
    for title, sentences, style in (
        ("comparisons, paired by clip, p after Holm's correction", findings(found), ""),
        (f"against {earlier.name if earlier else ''}, by Welch's test, p after Holm's correction", against, ""),
        ("be careful", warnings(found), "yellow"),
        ("left out", left_out(found), "dim"),
        ("without a result", [f"{name}: {reason}" for name, reason in found.failed.items()], "red"),
    ):
        if sentences:
            console.print()
            console.print(title, style="bold")
            for sentence in sentences[:_MOST_SENTENCES]:
                console.print(Padding(Text(sentence, style), (0, 0, 0, 2), expand=False))
            if len(sentences) > _MOST_SENTENCES:
                console.print(f"  ... and {len(sentences) - _MOST_SENTENCES} more; -o DIR writes all", style="dim")
