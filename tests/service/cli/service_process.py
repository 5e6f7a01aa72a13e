"""The real service in a process of its own, as a user starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import PATIENCE

PROGRAM = (sys.executable, "-m", "service.cli")
_READY_SECONDS = 100


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without ACTIONLENS_* of the developer; the tests' own data folder stays."""
    ours = "ACTIONLENS_DATA"
    kept = {name: value for name, value in os.environ.items() if name == ours or not name.startswith("ACTIONLENS_")}
    return {**kept, "COLUMNS": "120", **variables}


class ServiceProcess:
    """A running `actionlens serve`. shown: what it has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.shown = ""
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_ready(self) -> str:
        """The gRPC address that it announced."""
        assert self._ready.wait(_READY_SECONDS), self.shown
        found = re.search(r"gRPC +(\S+)", self.shown)
        assert found, self.shown
        return found[1]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self.finish_reading()
        return code

    def finish_reading(self) -> None:
        """Wait until all that it printed is in `shown`; the pipe must not be closed under its reader."""
        self._reader.join(PATIENCE)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.shown += line
            if "Ctrl-C" in line:
                self._ready.set()
        self._ready.set()


@contextmanager
def serving(store: Path, *options: str, cwd: Path | None = None) -> Iterator[ServiceProcess]:
    """`actionlens serve` over a model store on free ports, computing in its own process unless set otherwise."""
    command = [
        *PROGRAM,
        "serve",
        "--store",
        str(store),
        "--port",
        "0",
        "--metrics-port",
        "0",
        "--page-port",
        "0",
        *options,
    ]
    if "--backend" not in options:
        command += ["--backend", "in-process"]
    root = str(Path(__file__).resolve().parents[3])
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env=environment(PYTHONPATH=root, ACTIONLENS_DATA=str(store.parent / "data")),
    ) as process:
        service = ServiceProcess(process)
        try:
            yield service
        finally:
            if process.poll() is None:
                process.kill()
            service.finish_reading()
