"""One real service for all end-to-end tests: `actionlens serve` with TorchServe behind it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from service.client import Client
from service.errors import ActionLensError
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[2]
MODEL_STORE = ROOT / "model_store"
GESTURE = "gesture-conv3d"
LRCN = "lrcn-ucf50"


@dataclass(frozen=True)
class Service:
    """A running service: its process, address and log."""

    process: psutil.Process
    address: str
    log: Path

    def client(self, timeout: float = PATIENCE) -> Client:
        return Client(self.address, timeout=timeout)

    def java(self) -> psutil.Process:
        """The TorchServe front end for live answers."""
        return next(child for child in self._live() if child.name() == "java")

    def workers(self) -> list[psutil.Process]:
        """The TorchServe workers of all models for live answers."""
        lines = ((child, " ".join(child.cmdline())) for child in self._live())
        return [child for child, line in lines if "model_service_worker" in line and "worker_launcher" not in line]

    def job_worker(self) -> psutil.Process:
        """The process that takes jobs; its TorchServe is below it."""
        return next(child for child in self.process.children() if "service.jobs.worker.process" in child.cmdline())

    def _live(self) -> list[psutil.Process]:
        """All processes of the service but the job worker's."""
        direct = [child for child in self.process.children() if "service.jobs.worker.process" not in child.cmdline()]
        return [member for child in direct for member in (child, *child.children(recursive=True))]

    def wait_serving(self) -> None:
        """Wait until the service says SERVING. Fails the test when it does not in time."""

        def serves() -> bool:
            try:
                with self.client() as client:
                    return client.health() == "SERVING"
            except ActionLensError:
                return False

        wait_until(serves, 5 * PATIENCE, lambda: self.log.read_text()[-4000:])


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def actionlens(*arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def gesture_card(folder: Path, assets: Path) -> Path:
    """The card of the outside model, as its README describes it."""
    labels = (assets / "models/gesture_conv3d/labels.txt").read_text().split()
    card = {
        "name": GESTURE,
        "description": "five hand gestures",
        "architecture": "conv3d",
        "arguments": {"channels": [32, 64, 128], "hidden": [128]},
        "labels": labels,
        "input": {"frames": 30, "height": 200, "width": 200, "resize": "letterbox", "color": "bgr"},
        "layer": "relu3",
    }
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump(card))
    return path


def start(
    store: Path, folder: Path, port: int | None = None, **environment: str
) -> tuple[subprocess.Popen[bytes], Service]:
    """Start `actionlens serve`, on a free port unless one is given."""
    port, log = port or free_port(), folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "service.cli",
                "serve",
                "--port",
                str(port),
                "--metrics-port",
                "0",
                "--page-port",
                "0",
            ],
            cwd=ROOT,
            process_group=0,
            env=os.environ
            | {"ACTIONLENS_MODEL_STORE": str(store), "ACTIONLENS_DATA": str(folder / "data")}
            | environment,
            stdout=output,
            stderr=output,
        )
    return process, Service(psutil.Process(process.pid), f"127.0.0.1:{port}", log)


def stop(process: subprocess.Popen[bytes], sign: int = signal.SIGTERM) -> int:
    """Its exit code. A Ctrl-C goes to all of its group, as from a terminal."""
    if sign == signal.SIGINT:
        os.killpg(process.pid, sign)
    else:
        process.send_signal(sign)
    return process.wait(PATIENCE)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with the bundled model and, where the assets are, the outside models, imported by the command."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copytree(MODEL_STORE / "motion-primitives", folder / "motion-primitives")
    assets = os.environ.get("ACTIONLENS_TEST_ASSETS")
    if assets:
        work = tmp_path_factory.mktemp("card")
        card = gesture_card(work, Path(assets))
        weights = Path(assets) / "models/gesture_conv3d/gesture_conv3d_torch_layout.npz"
        outside = Path(assets) / "models/lrcn_ucf50"
        keras = ("--family", "cnn-lstm", "--labels", str(outside / "labels.txt"), "--name", LRCN)
        for source, file in (((str(card),), weights), (keras, outside / "lrcn_ucf50.h5")):
            done = actionlens("models", "import", *source, "--weights", str(file), "--store", str(folder))
            assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def service(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with all models of the store."""
    process, running = start(store, tmp_path_factory.mktemp("service"))
    try:
        running.wait_serving()
        yield running
    finally:
        stop(process)
