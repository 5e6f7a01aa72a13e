"""How a TorchServe worker comes to be: forked from a process that has torch, or started as any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.backends.torchserve import worker_launcher
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.timeout(600)

WORKER = """
import os, sys
print(os.getpid(), "torch" in sys.modules, sys.argv[1:], os.environ["SAID"], os.getcwd(), __name__, flush=True)
sys.stdin.read()
raise SystemExit(3)
"""


class Launched:
    """A launcher, and what its worker says first."""

    def __init__(self, folder: Path, socket: Path) -> None:
        script = folder / "model_service_worker.py"
        script.write_text(WORKER)
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                worker_launcher.__file__,
                str(socket),
                sys.executable,
                str(script),
                "--name",
                "x",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env=os.environ | {"SAID": "so"},
        )
        assert self.process.stdout is not None
        pid, has_torch, *self.rest = self.process.stdout.readline().decode().split(" ")
        self.worker, self.has_torch = psutil.Process(int(pid)), has_torch == "True"

    def end(self) -> int:
        """Close everything."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        status = self.process.wait(PATIENCE)
        self.process.stdout.close()
        return status


@pytest.fixture(scope="module")
def forkserver() -> Iterator[tuple[psutil.Popen, Path]]:
    with tempfile.TemporaryDirectory() as folder:  # a short path
        socket = Path(folder, "socket")
        process = psutil.Popen([sys.executable, "-m", "handlers.worker_forkserver", str(socket)])
        wait_until(socket.exists)
        yield process, socket
        process.kill()
        process.wait()


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_worker_is_forked_with_torch_and_with_all_that_its_launcher_has(
    forkserver: tuple[psutil.Popen, Path], tmp_path: Path
) -> None:
    launched = Launched(tmp_path, forkserver[1])
    assert launched.has_torch
    assert launched.worker.pid != launched.process.pid
    assert launched.worker.parent() == psutil.Process(forkserver[0].pid)
    assert " ".join(launched.rest).split() == ["['--name',", "'x']", "so", str(tmp_path), "__main__"]
    assert "model_service_worker" in launched.worker.cmdline()[0]
    assert launched.end() == 1
    wait_until(lambda: gone(launched.worker))


def test_a_worker_ends_with_its_launcher_and_a_launcher_with_its_worker(
    forkserver: tuple[psutil.Popen, Path], tmp_path: Path
) -> None:
    first, second = Launched(tmp_path, forkserver[1]), Launched(tmp_path, forkserver[1])
    first.process.kill()
    wait_until(lambda: gone(first.worker))
    assert not gone(second.worker)
    second.worker.kill()
    assert second.end() == 1
    first.end()


def test_without_a_fork_server_the_launcher_becomes_the_worker(tmp_path: Path) -> None:
    launched = Launched(tmp_path, tmp_path / "nobody")
    assert launched.worker.pid == launched.process.pid
    assert not launched.has_torch
    assert launched.end() == 3


def test_a_frozen_fork_server_is_not_waited_for(forkserver: tuple[psutil.Popen, Path], tmp_path: Path) -> None:
    Launched(tmp_path, forkserver[1]).end()  # it has done importing
    forkserver[0].send_signal(signal.SIGSTOP)
    try:
        launched = Launched(tmp_path, forkserver[1])
        assert launched.worker.pid == launched.process.pid
        assert launched.end() == 3
    finally:
        forkserver[0].send_signal(signal.SIGCONT)
    # What it forks now for a launcher that has gone does nothing and ends.
    wait_until(lambda: not psutil.Process(forkserver[0].pid).children())
