"""Waiting for what other tasks, threads and processes bring about, and a clock that a test moves by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 300.0
"""Seconds after which what a test waits for is taken never to come: only a hang lasts so long, also on a machine of a
tenth of the speed with other work."""
_LOOP_SECONDS = 0.02
"""Of 300,000 additions in Python, on a processor that is not slow."""
_LOOK_SECONDS = 0.005
_CALL_SECONDS = 0.02


async def eventually(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until a condition holds. Fails the test when it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(_LOOK_SECONDS)


def wait_until(holds: Callable[[], bool], seconds: float = PATIENCE, why: Callable[[], object] = str) -> None:
    """The same in blocking code. why: describes what there is instead."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited in vain {why()}"
        time.sleep(_CALL_SECONDS)


@contextmanager
def cheap(seconds: float) -> Iterator[None]:
    """Fails where the body takes more time of the processor than so many seconds of one that is not slow.

    Time of the processor, so that other work does not count; and of a slow one as much more as it needs for the loop
    that is timed beside it.
    """
    begin = time.process_time()
    yield
    spent = time.process_time() - begin
    if spent >= seconds:
        slowness = min(_loop_seconds() for _ in range(3)) / _LOOP_SECONDS
        assert spent < seconds * max(1.0, slowness), f"{spent:.2f} s, on a machine {slowness:.1f} times as slow"


def _loop_seconds() -> float:
    begin, total = time.process_time(), 0
    for number in range(300_000):
        total += number & 7
    return time.process_time() - begin


async def settled(rounds: int = 5) -> None:
    """Let every task of this loop that is ready run until it waits for something outside of the loop."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class Clock:
    """Stands in for the module `time`: the real clock, ahead of it by as many seconds as a test says."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        """Seconds, as time.monotonic tells them, and those ahead."""
        return time.monotonic() + self.ahead

    def perf_counter(self) -> float:
        """Seconds, as time.perf_counter tells them, and those ahead."""
        return time.perf_counter() + self.ahead
