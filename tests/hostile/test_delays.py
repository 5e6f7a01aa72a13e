"""Promises in seconds: what one client sends does not make another wait."""

from __future__ import annotations

import asyncio
import sys

import grpc
import pytest

from tests.hostile.wire import wide
from tests.service.conftest import Serve
from tests.waiting import PATIENCE

pytestmark = pytest.mark.alone

MOST_SECONDS = 0.3

# A process of its own, since what it measures must not be its own waiting for this one.
PROBE = """
import sys, threading, time
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    check = health_pb2_grpc.HealthStub(channel).Check
    check(health_pb2.HealthCheckRequest(), timeout=30, wait_for_ready=True)
    print("ready", flush=True)
    worst = 0.0
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    while not stop.is_set():
        begun = time.monotonic()
        check(health_pb2.HealthCheckRequest(), timeout=30)
        worst = max(worst, time.monotonic() - begun)
        time.sleep(0.002)
    print(worst, flush=True)
"""


@pytest.mark.parametrize("name", wide(100))
async def test_no_message_delays_the_health_of_the_service(serve: Serve, name: str) -> None:
    path, data = wide()[name]
    async with serve(jobs={"workers": 0}) as server:
        address = f"127.0.0.1:{server.port}"
        pipe = asyncio.subprocess.PIPE
        probe = await asyncio.create_subprocess_exec(sys.executable, "-c", PROBE, address, stdin=pipe, stdout=pipe)
        assert probe.stdin is not None
        assert probe.stdout is not None
        assert await probe.stdout.readline() == b"ready\n"

        def attack() -> str:
            with grpc.insecure_channel(address, [("grpc.max_send_message_length", -1)]) as channel:
                try:
                    channel.unary_unary(path)(data, timeout=PATIENCE)
                except grpc.RpcError as error:
                    return str(error.details())  # type: ignore[attr-defined]
            return ""

        said = await asyncio.to_thread(attack)
        assert "at most" in said or "more than" in said
        worst, _ = await probe.communicate(b"")
    assert float(worst) < MOST_SECONDS
