"""A real service with a real job worker, on SQLite, for tests of jobs from outside."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.backends.in_process import InProcessBackend
from service.jobs.worker import Order
from service.server import Server
from service.settings import BackendName, Settings
from tests.backends.requests import TINY

_START_SECONDS = 60.0


def job_settings(folder: Path, data: Path, **jobs: Any) -> Settings:
    """Settings of a service over the tiny model that leaves its job workers to the test."""
    return Settings(
        port=0,
        metrics_port=0,
        model_store=folder,
        models=(TINY,),
        default_model=TINY,
        backend=BackendName.IN_PROCESS,
        threads=1,
        data=data,
        drain_seconds=2,
        jobs={"workers": 0, "poll_seconds": 0.05, "threads": 1, "nice": 5, **jobs},
    )


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The address of a service on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(_START_SECONDS)

    async def made() -> Server:
        return Server(settings, InProcessBackend(settings))

    server = run(made())
    try:
        run(server.start())
        yield f"127.0.0.1:{server.port}"
    finally:
        run(server.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def working(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """A job worker in a process of its own."""
    command = [sys.executable, "-m", "service.jobs.worker"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[2]
    ) as process:
        assert process.stdin
        process.stdin.write(Order(settings=settings, executor="test").model_dump_json() + "\n")
        process.stdin.flush()
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
