"""Stops a computation when nobody waits for its outcome any longer.

Whoever computes for a caller wraps it in `while_wanted`; whatever takes long calls `check` now and then, as the
network's operations do. Nothing is checked outside of such a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Interrupted(BaseException):
    """Nobody waits for what was being computed.

    No Exception, as asyncio.CancelledError is none: what answers errors with a failure, or tries again, lets it pass.
    """


def always() -> bool:
    """The condition of a caller that waits for ever."""
    return True


_WANTED: ContextVar[Callable[[], bool]] = ContextVar("wanted", default=always)


@contextmanager
def while_wanted(wanted: Callable[[], bool]) -> Iterator[None]:
    """Let `check`, in this thread and within the block, raise Interrupted as soon as `wanted` says no.

    wanted: called for every operation of a network, so it should take microseconds.
    """
    token = _WANTED.set(wanted)
    try:
        yield
    finally:
        _WANTED.reset(token)


def check() -> None:
    """Raise Interrupted when what is being computed is not wanted any longer."""
    if not _WANTED.get()():
        raise Interrupted
