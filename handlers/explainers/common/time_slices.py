"""As many iterations as fit into a block's time."""

from __future__ import annotations

import time
from collections.abc import Callable

from handlers.explainers.iteration import State


def iterate(step: Callable[[State], State], state: State, seconds: float) -> State:
    """One iteration at least, then more until the state is done or the next one would end later than the block."""
    begun, longest = time.perf_counter(), 0.0
    while True:
        before = time.perf_counter()
        state = step(state)
        now = time.perf_counter()
        longest = max(longest, now - before)
        if state.done or now + longest - begun > seconds:
            return state
