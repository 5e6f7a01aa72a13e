"""Control characters of strangers: refused where they come in, escapes where they go out."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest
from rich.table import Table
from rich.text import Text

from actionlens.v1 import job_pb2, service_pb2
from service.cli.terminal import SafeConsole
from service.errors import InvalidArgument
from service.jobs.requests import check_identifier
from service.printable import has_controls, printable, printable_json
from service.settings import LogFormat
from service.telemetry.log import configure, get_logger
from service.validation.request import check_message

STRANGE = ["\x1b[2J", "\x9b2J", "a\nb", "a\rb", "\x07", "\x7f", "\u2028", "\u202egpj.exe", "\u2066x"]


@pytest.mark.parametrize("text", STRANGE)
def test_no_field_takes_them(text: str) -> None:
    for message in (
        job_pb2.CreateJobRequest(tenant=text),
        job_pb2.CreateJobRequest(request_id=text),
        job_pb2.CreateJobRequest(clips=[job_pb2.JobClip(name=text)]),
        job_pb2.ListJobsRequest(tenant=text),
        service_pb2.GetModelRequest(name=text),
        service_pb2.StreamFrame(note=text),
    ):
        with pytest.raises(InvalidArgument) as caught:
            check_message(message)
        assert caught.value.reason == "CONTROL_CHARACTER"
        assert not has_controls(caught.value.message)
    with pytest.raises(InvalidArgument):
        check_identifier(text)


@pytest.mark.parametrize("text", STRANGE)
def test_a_terminal_gets_escapes(text: str) -> None:
    written = io.StringIO()
    console = SafeConsole(file=written, width=80)
    table = Table()
    table.add_column("tenant")
    table.add_row(text.replace("\n", "").replace("\r", ""))
    console.print(table)
    console.print(Text(text.replace("\n", "")))
    assert not has_controls(written.getvalue().replace("\n", ""))


def test_other_texts_stay_as_they_are() -> None:
    for text in ("wave", "Straße 東京 👋🏽", "a b\u00a0c", "שלום"):
        assert printable(text) == text
    assert printable("\x1b[2J\u202e\n", keep="\n") == "\\x1b[2J\\u202e\n"


@pytest.fixture
def _log(monkeypatch: pytest.MonkeyPatch) -> Any:
    import logging

    import structlog

    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.mark.parametrize("style", list(LogFormat))
@pytest.mark.usefixtures("_log")
def test_a_log_shows_no_variables_and_no_controls(style: LogFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    configure(style, "info")
    password = "hunter" + str(2)  # so that the source line, which a traceback quotes, has it not
    try:
        raise ValueError("it broke")
    except ValueError:
        get_logger().exception("a call failed", tenant="\x1b[2J\nforged line")
    text = written.getvalue()
    assert "it broke" in text
    assert "Traceback" in text
    assert password not in text
    assert "\x1b[2J" not in text
    assert "\nforged" not in text


def test_json_has_no_controls_and_reads_the_same() -> None:
    every = {chr(code): chr(code) for code in [*range(0x20), 0x22, 0x5C, *range(0x7F, 0xA0), 0x2028, 0x202E, 0xE9]}
    text = printable_json(every)
    assert not has_controls(text)
    assert json.loads(text) == every
    assert "\u00e9" in text
