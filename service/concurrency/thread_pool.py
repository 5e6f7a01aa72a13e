"""Threads for decoding and drawing: bounded, and with a deadline on every wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Pool:
    """A fixed number of threads. Whoever cancels its wait never sees the result, and unstarted work is not started."""

    def __init__(self, threads: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> tuple[T, float, float]:
        """The result of `work`, the seconds that it waited for a thread, and the seconds that it took."""
        queued = time.perf_counter()

        def timed() -> tuple[T, float, float]:
            started = time.perf_counter()
            result = work()
            return result, started - queued, time.perf_counter() - started

        return await asyncio.get_running_loop().run_in_executor(self._executor, timed)

    def close(self) -> None:
        """Start no more work. Work that is running ends by itself: decoding bounds its own time."""
        self._executor.shutdown(wait=False, cancel_futures=True)
