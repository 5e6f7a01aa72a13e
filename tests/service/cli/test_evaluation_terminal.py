"""The table of an evaluation on terminals of any width."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from service.cli.evaluation_terminal import live_table, show_evaluation, value_tables
from service.evaluation.evaluated_set import EvaluatedSet
from tests.service.evaluation.evaluated_clips import eight_clips, evaluated


def shown(found: EvaluatedSet, width: int) -> str:
    screen = io.StringIO()
    show_evaluation(Console(file=screen, width=width), found)
    return screen.getvalue()


def test_a_wide_terminal_has_one_table_with_its_meaning() -> None:
    lines = shown(EvaluatedSet(eight_clips()), 120).splitlines()
    assert lines[0].split() == ["measure", "dtd", "grad-cam", "random", "exact-mask"]
    # 60 .. 67, 40 .. 47, ...: sd of eight whole numbers in a row is the root of 6.
    assert lines[1].split() == [
        "insertion",
        "↑",
        "%",
        "63.5",
        "±",
        "2.4",
        "43.5",
        "±",
        "2.4",
        "13.5",
        "±",
        "2.4",
        "53.5",
        "±",
        "2.4",
    ]
    assert lines[2].split()[:2] == ["tied", "%"]
    text = "\n".join(lines)
    assert "mean ± standard deviation over 8 clips" in text
    assert "dtd is better than grad-cam (+20" in text
    assert "the model has 8 of 8 clips right" in text
    assert "be careful" not in text


@pytest.mark.parametrize("width", [30, 50, 80])
def test_columns_are_never_broken(width: int) -> None:
    found = EvaluatedSet(eight_clips())
    tables = value_tables(found, found.values, found.methods, width)
    screen = io.StringIO()
    for table in tables:
        Console(file=screen, width=width).print(table)
    text = screen.getvalue()
    assert all(cell in text for cell in ("63.5 ± 2.4", "43.5 ± 2.4", "13.5 ± 2.4", "53.5 ± 2.4"))
    assert sum(line.lstrip().startswith("measure") for line in text.splitlines()) == len(tables)
    assert all(method in text for method in found.methods)


def test_the_best_is_marked_among_methods_alone() -> None:
    found = EvaluatedSet([evaluated("a", {"dtd": 1.0, "grad-cam": 2.0, "exact-mask": 9.0})])
    screen = io.StringIO()
    (table,) = value_tables(found, [("insertion", "insertion")], found.methods, 100)
    Console(file=screen, width=100, force_terminal=True, color_system="standard").print(table)
    assert re.findall(r"\x1b\[1;32m *(\S+)\x1b", screen.getvalue()) == ["2"]


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with live_table(lines=True) as report:
        report(None, "0 of 2 clips measured", "iteration 1")
        report(None, "0 of 2 clips measured", "iteration 2")
        report(EvaluatedSet(eight_clips()), "1 of 2 clips measured", "")
    assert capsys.readouterr().err.splitlines() == ["0 of 2 clips measured", "1 of 2 clips measured"]


def test_nothing_measured_is_shown_with_its_reason() -> None:
    assert "a: broken" in shown(EvaluatedSet([], {"a": "broken"}), 80)
