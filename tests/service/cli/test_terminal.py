"""What the commands say was computed."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from actionlens.v1 import answer_pb2, explanation_pb2
from service.cli.model_terminal import show_model
from service.cli.terminal import show_readings, show_result, stages
from service.client.results import Result
from service.dataplane.levels import computed, computed_briefly


def answer(*methods: str, failed: str = "") -> answer_pb2.Answer:
    made = answer_pb2.Answer(explanations=[explanation_pb2.Explanation(method=method) for method in methods])
    if failed:
        made.explanations.add(method=failed).failure.message = "no evidence"
    return made


@pytest.mark.parametrize(
    ("given", "names", "brief"),
    [
        (answer(), [], "prediction"),
        (answer("dtd"), ["dtd"], "dtd"),
        (answer("selective-relevance", failed="atr"), ["selective-relevance"], "selective"),
        (answer("grad-cam", "selective-relevance", "atr"), ["atr", "selective-relevance", "grad-cam"], "atr +2"),
        (answer("grad-cam", "grad-cam"), ["grad-cam"], "grad-cam"),
    ],
)
def test_what_was_computed_is_named_the_highest_first(given: answer_pb2.Answer, names: list[str], brief: str) -> None:
    assert computed(given) == names
    assert computed_briefly(given) == brief


@pytest.mark.parametrize(
    ("together", "shown"), [(False, ["+20.0 ms", "+0.0 ms", "+20.0 ms"]), (True, ["+40.0 ms", "+0.0 ms", "with it"])]
)
def test_explanations_of_one_run_have_one_time(together: bool, shown: list[str]) -> None:
    given = answer("grad-cam", failed="dtd")
    given.explanations.add(method="atr")
    given.timings.explain.extend([0.02, 0.0, 0.02])
    given.timings.explain_together = together
    screen = io.StringIO()
    show_readings(Console(file=screen, width=100), Result(given))
    lines = screen.getvalue().splitlines()
    assert all(words in line for words, line in zip(shown, lines, strict=True)), lines


def test_the_quality_of_explanations_is_said_below_them() -> None:
    given = answer("grad-cam", "atr", "dtd")
    given.quality.agreement = 0.25
    for explanation, agreement in zip(given.explanations, (0.5, -0.125, 0.375), strict=True):
        explanation.quality.agreement = agreement
    given.explanations[1].quality.gap_left_out = "the method explains frames, not voxels"
    given.timings.explain.extend([0.02, 0.01, 0.02])
    given.timings.measure.extend([0.3, 0.0, 0.4])
    screen = io.StringIO()
    show_readings(Console(file=screen, width=200), Result(given))
    lines = [line.strip() for line in screen.getvalue().splitlines()]
    assert lines[0].endswith("+20.0 ms and 300 ms to measure")
    assert lines[2] == "no insertion-deletion gap: the method explains frames, not voxels"
    assert lines[4] == "agreement of the methods on when: 0.25 (-1 to 1), least atr with -0.12"
    given.quality.Clear()
    given.quality.agreement_left_out = "no two"
    screen = io.StringIO()
    show_readings(Console(file=screen, width=200), Result(given))
    assert screen.getvalue().splitlines()[-1].strip() == "no agreement of the methods: no two"


def test_a_jobs_time_is_in_seconds_and_its_reason_once() -> None:
    given = answer("temporal-mask")
    given.explanations[0].reading = "freezing changes nothing"
    given.explanations[0].notes.extend(["freezing changes nothing", "another thing"])
    given.timings.explain.append(75.96)
    given.timings.total = 75.96
    screen = io.StringIO()
    show_result(Console(file=screen, width=100), "clip", Result(given))
    said = screen.getvalue()
    assert said.splitlines()[0].endswith("0 frames · 76 s")
    assert "+76 s" in said
    assert said.count("freezing changes nothing") == 1
    assert "another thing" in said


def test_a_model_says_how_it_sees_a_clip_and_what_its_card_leaves_open(capsys: pytest.CaptureFixture[str]) -> None:
    size = {"frames": 48, "width": 112, "height": 100, "resize": "crop", "sampling": "rate", "fps": 15.0, "stride": 2}
    row = {"name": "waves", "version": "1.0", "architecture": "r3d-18", "weights_digest": "ab" * 32, "labels": ["a"]}
    show_model(row | {"input": size | {"windows": 3}, "notes": ["its scores are probabilities by their numbers"]})
    said = capsys.readouterr().out
    assert "48 frames of 112 x 100, crop; rate sampling of 15 frames a second, stride 2, 3 windows" in " ".join(
        said.split()
    )
    assert "its scores are probabilities by their numbers" in said
    show_model(row | {"input": size | {"sampling": "dense", "fps": 0.0, "windows": 1}, "notes": []})
    said = capsys.readouterr().out
    assert "windows" not in said
    assert "a second" not in said


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_is_printed_beside_a_spinner_goes_where_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, file = Terminal(), io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", file)
    with stages() as report:
        report("explaining")
        print("while it turns")
        report("")
        before = len(screen.getvalue())
        print("after")
        assert len(screen.getvalue()) == before
        assert screen.getvalue().endswith("\x1b[2K")  # the line of the spinner is empty
        report("writing")
    assert file.getvalue() == "while it turns\nafter\n"
    assert "explaining" in screen.getvalue()[:before]
    assert "writing" in screen.getvalue()[before:]
