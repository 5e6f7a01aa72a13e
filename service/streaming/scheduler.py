"""Streams get slots at the workers first come, first served: none waits for more than one window of each other."""

from __future__ import annotations

from service.backends.protocol import InferenceBackend
from service.concurrency.fifo_slots import FifoSlots
from service.settings import Settings


class WindowScheduler:
    """Slots at the backend, by model.

    A stream chooses its window after it has got its slot, so that waiting costs answers per second but no freshness.
    Batches form of windows that are soon done; expensive ones go nearly alone, because a batch is answered as a whole.
    So lag is bounded for any number of streams.
    """

    def __init__(self, backend: InferenceBackend, settings: Settings) -> None:
        self._backend = backend
        self._settings = settings
        self._slots: dict[str, _ModelSlots] = {}

    @property
    def slots(self) -> int:
        """Windows of one model that may be at the backend at once."""
        return max(1, self._backend.capacity() // max(1, len(self._backend.models())))

    async def take(self, model: str) -> Slot:
        """Wait for a slot. Say what the window is expected to take, and end the slot afterwards in any case."""
        slots = self._slots.get(model)
        if slots is None:
            # One batch in work and one ready per worker are the backend's slots; so many windows keep all busy.
            least = max(1, self.slots // self._settings.batch_size)
            slots = self._slots[model] = _ModelSlots(self.slots, least, self._settings.stream.ahead_seconds)
        await slots.enter()
        return Slot(slots)


class Slot:
    """One window's slot at the backend."""

    def __init__(self, slots: _ModelSlots) -> None:
        self._slots = slots
        self._seconds: float | None = None

    def expect(self, seconds: float) -> None:
        """The chosen window takes a worker about so long."""
        self._seconds = seconds
        self._slots.chosen(seconds)

    def end(self, _: object = None) -> None:
        """The window has been answered or given up, or there was none."""
        if self._seconds is None:
            self._slots.chosen(0.0)
        self._slots.leave(self._seconds or 0.0)


class _ModelSlots:
    """most: windows inside. least: windows inside whatever they take. ahead: seconds of work inside from which on no
    more than `least` are let in."""

    def __init__(self, most: int, least: int, ahead: float) -> None:
        self._most = most
        self._least = least
        self._ahead = ahead
        self._inside = 0
        self._work = 0.0
        self._choosing = False
        self._line = FifoSlots(self._take_back)

    async def enter(self) -> None:
        if self._is_open():
            self._let_in()
        else:
            await self._line.wait()

    def chosen(self, seconds: float) -> None:
        self._choosing = False
        self._work += seconds
        self._pass_on()

    def leave(self, seconds: float) -> None:
        self._inside -= 1
        self._work -= seconds
        self._pass_on()

    def _take_back(self) -> None:
        self.chosen(0.0)
        self.leave(0.0)

    def _is_open(self) -> bool:
        """One at a time: what the next one does depends on what this one brings."""
        if self._choosing or self._inside >= self._most:
            return False
        return self._inside < self._least or self._work < self._ahead

    def _let_in(self) -> None:
        self._inside += 1
        self._choosing = True

    def _pass_on(self) -> None:
        if self._is_open() and self._line.grant():
            self._let_in()
