"""Samples windows: chooses the frames of a ring, and tells at which speed the model sees the world through them."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Protocol, TypeVar

# A window that begins this many frame spacings away from where it should was stretched by lost frames, not by jitter.
_STRETCH = 0.75
# A longer step of the clock is a break: as many usual steps, at least half a window, and longer than a client that is
# held back for a moment stays silent.
_BREAK_STEPS, _BREAK_SECONDS = 8, 1.0
_REMEMBERED_STEPS = 16
_BARREN_STRETCHES = 3


class Timed(Protocol):
    """A frame that knows its index among the received frames and its time in seconds."""

    @property
    def number(self) -> int: ...

    @property
    def timestamp(self) -> float: ...


F = TypeVar("F", bound=Timed)


class Spacing:
    """The usual time between two source frames, in seconds, by the client's own clock.

    The median over the last received frames of a quarter of the time that four frames take. Four, because the gaps of
    a jittering camera alternate between long and short, and their plain median would be one or the other. The median,
    so that a pause or a few frames that the client left out do not move it. Frames that the service threw away count.
    """

    def __init__(self, memory: int = 64, reach: int = 4) -> None:
        self._reach = reach
        self._times: deque[float] = deque(maxlen=reach)
        self._steps: deque[float] = deque(maxlen=memory)

    def add(self, timestamp: float) -> None:
        """Note a received frame's time."""
        if len(self._times) == self._reach:
            step = (timestamp - self._times[0]) / self._reach
            if step > 0:
                self._steps.append(step)
        self._times.append(timestamp)

    def restart(self) -> None:
        """Note that the next frame's time has nothing to do with those before it."""
        self._times.clear()

    def value(self) -> float:
        """Seconds between two frames; 0 while unknown (fewer than five frames, or timestamps that do not rise)."""
        return median(self._steps) if self._steps else 0.0


class StreamClock:
    """Reads a client's timestamps as one clock that never goes back.

    A step back is no time that passed: the usual step passes instead, and the clock has jumped. So it is with a leap
    forwards where no frame may be lost: the frames' numbers then say that one follows the other. From a live source a
    leap is time without frames: a new stretch begins, and no window reaches over the break. Only after a few breaks
    without a window in between they are bridged too: windows with a note are worth more than none.

    jumps: those bridged so far. stretch: index of the present one. pause: seconds without frames before it.
    """

    def __init__(self, span: int, *, live: bool) -> None:
        """span: source frames that a window reaches over. live: whether frames may be lost."""
        self.jumps = 0
        self.stretch = 0
        self.pause = 0.0
        self.spacing = Spacing()
        self._most_steps = max(span / 2, _BREAK_STEPS)
        self._live = live
        self._steps: deque[float] = deque(maxlen=_REMEMBERED_STEPS)
        self._last: float | None = None
        self._offset = 0.0
        self._barren = 0

    def read(self, timestamp: float) -> float:
        """Read the next frame's timestamp in seconds. Returns it with the jumps before it taken out."""
        if self._last is not None:
            step = timestamp - self._last
            if self._is_jump(step):
                self.jumps += 1
                self._offset += self._usual() - step
            if step > 0:
                self._steps.append(step)
        self._last = timestamp
        time = timestamp + self._offset
        self.spacing.add(time)
        return time

    def window_came_due(self) -> None:
        """Note that the present stretch is long enough for windows."""
        self._barren = 0

    def _is_jump(self, step: float) -> bool:
        """Whether to bridge a step; a break begins a new stretch instead."""
        if step < 0:
            return True
        if not self._steps or step <= max(_BREAK_SECONDS, self._most_steps * self._usual()):
            return False
        if not self._live or self._barren >= _BARREN_STRETCHES:
            return True
        self.stretch += 1
        self.pause = step
        self._barren += 1
        self.spacing.restart()
        return False

    def _usual(self) -> float:
        """The usual step, jumps included: a clock that has a new pace is believed after a few frames."""
        return median(self._steps) if self._steps else 0.0


@dataclass(frozen=True, slots=True)
class WindowShape:
    """frames: T model frames; stride: source frames between two of them; hop: source frames between two windows."""

    frames: int
    stride: int
    hop: int

    @property
    def span(self) -> int:
        """Source frames that a window reaches over."""
        return self.stride * (self.frames - 1) + 1


def choose(ring: Sequence[F], shape: WindowShape, spacing: float) -> list[F]:
    """The T frames, oldest first, of the window that ends at the newest frame of a non-empty ring.

    Normally every stride-th received frame. Where lost frames stretched that choice in time, the frame nearest to each
    ideal moment newest - k * stride * spacing instead (a frame may then be used twice).
    """
    newest = ring[-1]
    numbers = [newest.number - k * shape.stride for k in range(shape.frames - 1, -1, -1)]
    chosen = _nearest(ring, [frame.number for frame in ring], numbers)
    if spacing <= 0:
        return chosen
    step = shape.stride * spacing
    moments = [newest.timestamp - k * step for k in range(shape.frames - 1, -1, -1)]
    stretched = abs(chosen[0].timestamp - moments[0]) > _STRETCH * spacing or chosen[0].number != numbers[0]
    times = [frame.timestamp for frame in ring]
    if not stretched or any(later <= earlier for earlier, later in pairwise(times)):
        return chosen
    return _nearest(ring, times, moments)


def spread(ring: Sequence[F], frames: int) -> list[F]:
    """T frames spread evenly over a non-empty ring, first and last included: round(linspace(0, n - 1, T))."""
    last = len(ring) - 1
    if frames == 1:
        return [ring[0]]
    return [ring[round(k * last / (frames - 1))] for k in range(frames)]


def speed(frames: Sequence[F]) -> float:
    """Frames per second at which these frames show the world; 0 when their times do not tell."""
    duration = frames[-1].timestamp - frames[0].timestamp
    return (len(frames) - 1) / duration if duration > 0 else 0.0


def _nearest(ring: Sequence[F], positions: Sequence[float], wanted: Sequence[float]) -> list[F]:
    """For each wanted position the frame nearest to it, the earlier one of two as near. Positions must rise."""
    chosen = []
    for value in wanted:
        after = min(bisect_left(positions, value), len(ring) - 1)
        before = max(after - 1, 0)
        nearer = before if value - positions[before] <= positions[after] - value else after
        chosen.append(ring[nearer])
    return chosen
