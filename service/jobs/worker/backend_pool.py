"""The compute processes of a job worker: a backend per model, started when a clip needs it, stopped when idle."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from actionlens.v1 import job_pb2
from service.backends.protocol import InferenceBackend
from service.jobs.worker.fair_slots import FairSlots
from service.settings import Settings
from service.telemetry.log import get_logger

_LOOK_SECONDS = 5.0
# Loading a model takes as long as several blocks.
_TURN_SECONDS = 60.0
# From one block of a clip to its next.
_BETWEEN_SECONDS = 2.0


@dataclass(slots=True)
class _Loaded:
    backend: InferenceBackend
    starting: asyncio.Task[None]
    users: int = 0
    begun: float = field(default_factory=time.monotonic)
    left: float = field(default_factory=time.monotonic)


class NoRoom(Exception):
    """The models that are loaded are wanted, and have not had their turn yet: ask again later."""


class BackendPool:
    """Lends backends. For one event loop."""

    def __init__(self, settings: Settings, make: Callable[[Settings], InferenceBackend]) -> None:
        """make: a backend, not yet started, of the given settings."""
        jobs = settings.jobs
        self._settings = settings.model_copy(
            update={
                "workers": jobs.processes,
                "threads": jobs.threads or max(1, len(os.sched_getaffinity(0)) // jobs.processes),
                # A block is one clip's alone, so that a clip that kills its process harms no other.
                "batch_size": 1,
                "batch_delay_ms": 1,
                "response_seconds": jobs.response_seconds,
                "warm_forward_seconds": 0.0,
            }
        )
        self._make = make
        self._loaded: dict[str, _Loaded] = {}
        self._wanted = Counter[str]()
        self._slots = FairSlots(jobs.processes)
        self._log = get_logger()

    @asynccontextmanager
    async def borrowed(self, model: str, band: int) -> AsyncIterator[InferenceBackend]:
        """A slot and the running backend of a model. Raises NoRoom, but not for high priority, and as
        InferenceBackend.start does."""
        self._wanted[model] += 1
        try:
            async with self._slots.held(band):
                if band != job_pb2.JOB_PRIORITY_HIGH and self._is_full(model):
                    raise NoRoom(model)
                async with self._lent(model) as backend:
                    yield backend
        finally:
            self._wanted[model] -= 1

    def _is_full(self, model: str) -> bool:
        if model in self._loaded or len(self._loaded) < self._settings.jobs.models:
            return False
        since = time.monotonic() - _TURN_SECONDS
        return all(entry.begun > since and self._is_wanted(name, entry) for name, entry in self._loaded.items())

    @asynccontextmanager
    async def _lent(self, model: str) -> AsyncIterator[InferenceBackend]:
        loaded = self._loaded.get(model) or await self._load(model)
        loaded.users += 1
        try:
            await asyncio.shield(loaded.starting)
            yield loaded.backend
        except BaseException:
            failed = loaded.starting.done() and (loaded.starting.cancelled() or loaded.starting.exception())
            if failed and self._loaded.get(model) is loaded:
                # It has cleaned up after itself; the next clip tries again.
                del self._loaded[model]
            raise
        finally:
            loaded.users -= 1
            loaded.left = time.monotonic()

    async def tidy(self) -> None:
        """Stop idle backends, forever; cancel it to end."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            since = time.monotonic() - self._settings.jobs.idle_seconds
            try:
                await self._unload(*(name for name in self._idle() if self._loaded[name].left < since))
            except Exception as error:  # one that does not end as it should must not keep the others for ever
                self._log.error("a model of jobs was not unloaded as it should be", exc_info=error)

    async def stop(self) -> None:
        """Stop all backends."""
        await self._unload(*self._loaded)

    async def _load(self, model: str) -> _Loaded:
        surplus = max(0, len(self._loaded) + 1 - self._settings.jobs.models)
        await self._unload(*self._idle()[:surplus])
        if model in self._loaded:  # another clip was faster
            return self._loaded[model]
        self._log.info("loading a model for jobs", model=model)
        backend = self._make(self._settings.model_copy(update={"models": (model,)}))
        loaded = self._loaded[model] = _Loaded(backend, asyncio.create_task(backend.start()))
        return loaded

    def _idle(self) -> list[str]:
        """Models that nobody uses now: first those for which nobody waits, then those that have had most of their
        turn."""
        idle = [(self._is_wanted(name, entry), entry.begun, name) for name, entry in self._loaded.items()]
        return [name for _, _, name in sorted(idle) if not self._loaded[name].users]

    def _is_wanted(self, name: str, entry: _Loaded) -> bool:
        return self._wanted[name] > 0 or entry.left > time.monotonic() - _BETWEEN_SECONDS

    async def _unload(self, *models: str) -> None:
        # All taken out before the first wait: one that is still there then may be borrowed, or unloaded by others.
        await asyncio.gather(*[self._end(model, self._loaded.pop(model)) for model in models])

    async def _end(self, model: str, loaded: _Loaded) -> None:
        self._log.info("unloading a model of jobs", model=model)
        await asyncio.wait({loaded.starting})
        await loaded.backend.stop()
