"""Streams take turns at the workers, first come, first served: none waits for more than one window of each other."""

from __future__ import annotations

import asyncio
from collections import deque

from service.backends.protocol import InferenceBackend
from service.settings import Settings


class WindowScheduler:
    """Places at the backend, by model.

    A stream chooses its window after it has got its turn, so that waiting costs answers per second but no freshness.
    Batches form of windows that are soon done; dear ones go nearly alone, because a batch is answered as a whole. So
    lag is bounded for any number of streams.
    """

    def __init__(self, backend: InferenceBackend, settings: Settings) -> None:
        self._backend = backend
        self._settings = settings
        self._lines: dict[str, _Line] = {}

    @property
    def places(self) -> int:
        """Windows of one model that may be at the backend at once."""
        return max(1, self._backend.capacity() // max(1, len(self._backend.models())))

    async def take(self, model: str) -> Slot:
        """Wait for a turn. Say what the window is expected to take, and end the turn afterwards in any case."""
        line = self._lines.get(model)
        if line is None:
            # One batch in work and one ready per worker are the backend's places; so many windows keep all busy.
            least = max(1, self.places // self._settings.batch_size)
            line = self._lines[model] = _Line(self.places, least, self._settings.stream.ahead_seconds)
        await line.enter()
        return Slot(line)


class Slot:
    """One window's place at the backend."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._seconds: float | None = None

    def expect(self, seconds: float) -> None:
        """The chosen window takes a worker about so long."""
        self._seconds = seconds
        self._line.chosen(seconds)

    def end(self, _: object = None) -> None:
        """The window has been answered or given up, or there was none."""
        if self._seconds is None:
            self._line.chosen(0.0)
        self._line.leave(self._seconds or 0.0)


class _Line:
    """places: most windows inside. least: windows inside whatever they take. ahead: seconds of work inside from which
    on no more than `least` are let in."""

    def __init__(self, places: int, least: int, ahead: float) -> None:
        self._places = places
        self._least = least
        self._ahead = ahead
        self._inside = 0
        self._work = 0.0
        self._choosing = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._let_in()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.chosen(0.0)  # let in while the caller was leaving
                self.leave(0.0)
            raise

    def chosen(self, seconds: float) -> None:
        self._choosing = False
        self._work += seconds
        self._let_in()

    def leave(self, seconds: float) -> None:
        self._inside -= 1
        self._work -= seconds
        self._let_in()

    def _let_in(self) -> None:
        """One at a time: what the next one does depends on what this one brings."""
        while self._waiting and not self._choosing and self._inside < self._places:
            if self._inside >= self._least and self._work >= self._ahead:
                return
            place = self._waiting.popleft()
            if not place.done():  # a cancelled caller stays in line until its task runs again
                self._inside += 1
                self._choosing = True
                place.set_result(None)
