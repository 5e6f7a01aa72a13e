"""Reading TorchServe's log: why workers do not start."""

from __future__ import annotations

import re
from pathlib import Path

_RETRY = re.compile(r"W-\d+-(?P<model>.+)_[^_ ]+ WorkerThread - Retry worker: \d+ in \d+ seconds")
_PYTHON = re.compile(r"W-\d+-(?P<model>.+)_[^_ ]+-std(?:out|err) MODEL_LOG - (?P<text>.*)$")
_RAISED = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt|Killed)\b.*")
_TAIL_BYTES = 64 * 1024


def tail(path: Path) -> list[str]:
    """Last lines of a file, at most 64 KiB; none when there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def deaths(lines: list[str]) -> dict[str, int]:
    """How often TorchServe had to start a worker again, by model."""
    counts: dict[str, int] = {}
    for line in lines:
        if match := _RETRY.search(line):
            counts[match["model"]] = counts.get(match["model"], 0) + 1
    return counts


def reason(lines: list[str], model: str) -> str:
    """The last exception that a worker of the model printed, one line; empty when there is none."""
    last = ""
    for line in lines:
        match = _PYTHON.search(line)
        if match and match["model"] == model and (raised := _RAISED.match(match["text"])):
            last = raised.group()
    return last
