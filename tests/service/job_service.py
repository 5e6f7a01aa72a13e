"""A real service with its job worker, on SQLite, for tests of jobs from outside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.backends.in_process import InProcessBackend
from service.server import Server
from service.settings import BackendName, Settings
from tests.service.backends.requests import TINY

_START_SECONDS = 100.0


def job_settings(folder: Path, data: Path, **jobs: Any) -> Settings:
    """Settings of a service over the tiny model, which computes in the processes of the service and its worker."""
    return Settings(
        port=0,
        metrics_port=0,
        page_port=0,
        model_store=folder,
        models=(TINY,),
        default_model=TINY,
        backend=BackendName.IN_PROCESS,
        threads=1,
        data=data,
        drain_seconds=2,
        jobs={"poll_seconds": 0.05, "threads": 1, "nice": 5, **jobs},
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
        return Server(settings, InProcessBackend(settings), jobs=True)

    server = run(made())
    try:
        run(server.start())
        yield f"127.0.0.1:{server.port}"
    finally:
        run(server.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
