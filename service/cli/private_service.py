"""A service of this process alone, for commands that compute without a running one."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.backends.in_process import InProcessBackend
from service.server import Server
from service.settings import BackendName, Settings
from service.telemetry.log import configure


@contextmanager
def private_service(settings: Settings, model: str) -> Iterator[str]:
    """Serve one model with jobs on loopback, and give the address; its jobs are gone at the end.

    Raises Unavailable or NotFound when the model cannot be loaded.
    """
    store = next((store for store in settings.stores if (store / model).is_dir()), settings.model_store)
    with tempfile.TemporaryDirectory(prefix="actionlens-") as folder:
        # Both named: a worker would take what ACTIONLENS_JOBS_DB says for one that is not.
        jobs = {"db": str(Path(folder, "jobs.sqlite")), "artefacts": str(Path(folder, "artefacts"))}
        own = settings.model_copy(
            update={
                "host": "127.0.0.1",
                "port": 0,
                "metrics_port": 0,
                "page_port": 0,
                "data": Path(folder),
                "model_store": store,
                "models": (model,),
                "default_model": model,
                "backend": BackendName.IN_PROCESS,
                "drain_seconds": 1.0,
                "log_level": "warning",
                "jobs": settings.jobs.model_copy(update={**jobs, "workers": 1, "poll_seconds": 0.1, "nice": 0}),
            }
        )
        configure(own.log_format, own.log_level)
        yield from _served(own)


def _served(settings: Settings) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="private-service", daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

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
