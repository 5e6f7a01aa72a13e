"""The process of `serve`: it starts, says so, drains at a signal, and leaves nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.service.backends.requests import TINY, store
from tests.waiting import PATIENCE

# A stop that waited for its time and not for what is in work would never end.
PROGRAM = """
import sys
from service.server import serve
from service.settings import Settings
settings = Settings(port=0, metrics_port=0, page_port=0, backend="in-process", models=("tiny",), threads=1,
                    log_format="json", model_store=sys.argv[1], drain_seconds=3600)
serve(settings, lambda server: print(server.port, flush=True))
print("stopped", flush=True)
"""
# Its models take as long to load as there is time.
HELD = """
import asyncio
from service.backends.in_process import InProcessBackend
async def start(backend):
    print("starting", flush=True)
    await asyncio.Event().wait()
InProcessBackend.start = start
"""


@pytest.fixture
def program() -> str:
    return PROGRAM


@pytest.fixture
def process(tmp_path: Path, program: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", program, str(store(tmp_path / "store"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            if started.poll() is None:
                started.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_a_signal_and_ends_well(process: subprocess.Popen[str], number: signal.Signals) -> None:
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        status = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE).status
    assert status == health_pb2.HealthCheckResponse.SERVING
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "stopped" in out
    assert not [child for child in children if child.is_running()]
    lines = [line for line in map(json.loads, err.splitlines()) if "worker" not in line]  # the job worker's own lines
    assert "no authentication" in lines[0]["event"]
    assert lines[1]["event"] == "serving"
    assert lines[1]["models"] == [TINY]
    assert lines[-1]["event"] == "stopping"


@pytest.mark.parametrize("program", [HELD + PROGRAM], ids=[""])
def test_a_signal_while_starting_ends_it_too(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "starting\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert out == "stopped\n"
