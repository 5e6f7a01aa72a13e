"""`actionlens webcam` on a pseudo-terminal, over a real clip and a real service."""

from __future__ import annotations

import shutil
import signal
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import BackendName, Settings
from tests.service.cli.service_process import PROGRAM, environment
from tests.service.gateway.running import Running
from tests.service.webcam.terminal import on_terminal
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[3]
MODEL = ROOT / "model_store" / "motion-primitives"
LEFT_ALTERNATE_SCREEN = "\x1b[?1049l"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service over the bundled model, in this process's threads."""
    store = tmp_path_factory.mktemp("store")
    shutil.copytree(MODEL, store / MODEL.name)
    ports = {"port": 0, "metrics_port": 0, "page_port": 0}
    settings = Settings(model_store=store, backend=BackendName.IN_PROCESS, threads=1, drain_seconds=2, **ports)
    service = Running(settings, jobs=False)
    service.start()
    assert service.server is not None
    yield f"127.0.0.1:{service.server.port}"
    service.close()


def command(address: str, *options: str) -> list[str]:
    return [*PROGRAM, "webcam", str(MODEL / "sample.mp4"), "--address", address, *options]


def env() -> dict[str, str]:
    return environment(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")


def test_a_person_watches_asks_and_quits(address: str) -> None:
    with on_terminal(command(address, "-x", "grad-cam"), env()) as seen:
        before = seen.settings
        seen.wait_for(r"“move left” \d+ %: frames? \d+")
        assert "▀" in seen.raw
        seen.wait_for(r"q quit  r rescale  m next method \(grad-cam\)  t class \(the top class\)")
        seen.type("m")
        seen.wait_for(r"m next method \((?!grad-cam)[a-z-]+\)")
        seen.type("tapp\r")
        seen.wait_for(r"“approach” is explained")
        seen.type("t\r")
        seen.wait_for(r"“move left” \d+ %: (?!“approach)")
        seen.type("q")
        assert seen.finish() == 0
        assert seen.settings == before
    shown, after = seen.raw.split(LEFT_ALTERNATE_SCREEN)
    assert "windows = " not in shown
    assert "frames received = " in after


def test_ctrl_c_gives_the_terminal_back(address: str) -> None:
    with on_terminal(command(address, "-x", "none"), env()) as seen:
        before = seen.settings
        seen.wait_for("move left")
        assert seen.settings != before
        assert seen.settings[6][termios.VSUSP] == b"\0"  # Ctrl-Z does not suspend it
        seen.process.send_signal(signal.SIGINT)
        assert seen.finish() == 130
        assert seen.settings == before
    assert LEFT_ALTERNATE_SCREEN in seen.raw
    assert "Traceback" not in seen.raw


def test_without_a_terminal_there_is_a_line_per_window(address: str) -> None:
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": env()}
    with subprocess.Popen(command(address, "-x", "grad-cam"), **options) as process:  # type: ignore[call-overload]
        assert process.stdout.readline().startswith("window")
        assert "move left" in process.stdout.readline() + process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=PATIENCE)
    assert "frames received = " in rest
    assert (process.returncode, errors) == (130, "")


def test_a_source_that_is_not_there_is_named(address: str) -> None:
    with on_terminal([*PROGRAM, "webcam", "/dev/video97", "--address", address], env()) as seen:
        assert seen.finish() == 1
    assert "camera 97 cannot be opened" in seen.raw
    assert "Traceback" not in seen.raw
