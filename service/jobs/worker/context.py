"""What all clips in work at one worker share."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.jobs.store.artefacts import Artefacts
from service.jobs.store.database import Database
from service.jobs.worker.backend_pool import BackendPool
from service.jobs.worker.live_notice import Notice
from service.settings import Settings
from service.telemetry.log import get_logger

T = TypeVar("T")

_LONGEST_WAIT = 5.0
_LOOK_SECONDS = 0.5


@dataclass(slots=True)
class WorkerContext:
    """Database, artefacts and compute processes of a worker. loop: where `bench` lives."""

    settings: Settings
    database: Database
    artefacts: Artefacts
    bench: BackendPool
    loop: asyncio.AbstractEventLoop
    stopping: threading.Event = field(default_factory=threading.Event)
    _busy: int = 0
    _lock: threading.Condition = field(default_factory=threading.Condition)

    def drain(self, seconds: float) -> None:
        """Begin no more blocks, and wait for those in work, at most so long."""
        with self._lock:
            self.stopping.set()
            self._lock.wait_for(lambda: not self._busy, seconds)

    def take_up(self) -> None:
        """Begin a block; `put_down` ends it. When the worker is stopping this never returns: the process ends, and the
        clip goes on elsewhere from its last state."""
        with self._lock:
            stopping = self.stopping.is_set()
            self._busy += not stopping
        if stopping:
            threading.Event().wait()

    def put_down(self) -> None:
        """The block is on record, or came to nothing."""
        with self._lock:
            self._busy -= 1
            self._lock.notify_all()

    def pause(self, seconds: float) -> None:
        """Wait; not to the end when the worker is stopping."""
        self.stopping.wait(seconds)

    def stand_back(self) -> None:
        """Wait while live answers take too long, within bounds."""
        jobs = self.settings.jobs
        notice = Notice(self.settings.data)
        end = time.monotonic() + jobs.yield_seconds
        while notice.worst() > jobs.live_p95_seconds and time.monotonic() < end and not self.stopping.is_set():
            self.pause(_LOOK_SECONDS)

    def patiently(self, work: Callable[[], T]) -> T:
        """Do something with the database, again and again while it does not answer or has no room."""
        wait = 0.1
        while True:
            try:
                return work()
            except (OperationalError, InterfaceError, PoolTimeout) as error:
                get_logger().warning("the job database does not answer", error=str(error).splitlines()[0])
                self.pause(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
