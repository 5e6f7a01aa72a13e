"""Makes one clock of a source's timestamps: where they go back or leap, time goes on at the usual rate."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

# Seconds between two frames that are a jump of the clock. Of one that is sent along with the pixels: as players have
# it. Of a file with a table of times: a screen recording may hold an image for as long as that.
_SENT_CLOCK_JUMP, _STORED_CLOCK_JUMP = 10.0, 60.0
_STORED_CLOCKS = ("mov", "matroska", "avi", "gif")
# Neither is one a jump, or a gap worth telling, that is not so many times the usual step: slide shows have long ones.
_MANY_STEPS = 20
_GAP_STEPS, _GAP_SECONDS = 8, 0.5
_MEMORY = 32
_UNKNOWN_STEP = 1 / 25
# Frames per second that no camera has: timestamps in milliseconds give 0.03, frame rates given as periods 0.04.
_SLOWEST, _FASTEST = 0.1, 1000.0


@dataclass(frozen=True, slots=True)
class ClockStep:
    """Before `frame` (its position in the source) the clock moved by `seconds`; negative: it went back."""

    frame: int
    seconds: float


class SourceClock:
    """Reads the timestamps of a source's frames in order of presentation.

    A step back, none at all, or one that is a jump is a discontinuity of the clock and not time that passed: the time
    of one usual step passes instead. jumps: those so far. gaps: long steps that were believed.
    """

    def __init__(self, rate: float, container: str) -> None:
        """rate: frames per second by the container, 0 when unknown. container: libav's name of its format."""
        self.jumps: list[ClockStep] = []
        self.gaps: list[ClockStep] = []
        self._step = 1 / rate if rate > 0 else 0.0
        self._jump = _STORED_CLOCK_JUMP if container.startswith(_STORED_CLOCKS) else _SENT_CLOCK_JUMP
        self._steps: deque[float] = deque(maxlen=_MEMORY)
        self._count = 0
        self._last: float | None = None
        self._now = 0.0

    def add(self, time: float | None) -> float:
        """Read the next frame's timestamp in seconds, None when it has none. Returns seconds since the first frame."""
        position = self._count
        self._count += 1
        if time is None or self._last is None:
            self._now += self._usual() if position else 0.0
            self._last = time if self._last is None else self._last + self._usual()
            return self._now
        step = time - self._last
        self._last = time
        if step <= 0 or self._leaps(step):
            self.jumps.append(ClockStep(position, step))
            step = self._usual()
        else:
            if step > _GAP_SECONDS and step > _GAP_STEPS * self._usual():
                self.gaps.append(ClockStep(position, step))
            self._steps.append(step)
        self._now += step
        return self._now

    def notes(self, first: int, last: int) -> list[str]:
        """Tell people of the jumps and gaps between the frames `first` and `last`."""
        jumps, gaps = _between(self.jumps, first, last), _between(self.gaps, first, last)
        notes = []
        if jumps:
            notes.append(jump_note(jumps[0].frame, jumps[0].seconds, len(jumps)))
        if gaps:
            longest = max(gaps, key=lambda gap: gap.seconds)
            more = f", and {len(gaps) - 1} shorter gaps" if len(gaps) > 1 else ""
            notes.append(f"no frames for {seconds_text(longest.seconds)} before frame {longest.frame}{more}")
        return notes

    def _leaps(self, step: float) -> bool:
        # Without a usual step, nothing says that this one is not it.
        return step > self._jump and (bool(self._steps) or self._step > 0) and step > _MANY_STEPS * self._usual()

    def _usual(self) -> float:
        return median(self._steps) if self._steps else self._step or _UNKNOWN_STEP


def seconds_text(seconds: float) -> str:
    """ "0.76 s", "3600 s"."""
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"


def jump_note(frame: int, seconds: float | None, count: int = 1) -> str:
    """Say that the source's clock jumped `count` times, first before `frame`, by `seconds` where that is known."""
    if seconds is None:
        how = "jumps"
    elif seconds > 0:
        how = f"leaps by {seconds_text(seconds)}"
    else:
        how = f"goes back by {seconds_text(-seconds)}" if seconds < 0 else "stands still"
    often = f", and jumps {count - 1} times more" if count > 1 else ""
    return f"the source's clock {how} before frame {frame}{often}; time goes on at the usual rate there"


def rate_note(fps: float) -> str:
    """Say that a source's frames per second can hardly be meant; "" where they can, and where they are unknown (0)."""
    if fps <= 0 or _SLOWEST <= fps <= _FASTEST:
        return ""
    return f"{fps:.2g} frames per second by the timestamps: are they in another unit than seconds?"


def repeat_note(used: Sequence[int], why: str) -> str:
    """Say how many of the frames that the model sees repeat another; "" for none. why: for people."""
    repeats = len(used) - len(set(used))
    return f"{repeats} of the {len(used)} frames that the model sees repeat another: {why}" if repeats else ""


def size_note(sizes: Sequence[tuple[int, int]], first: tuple[int, int]) -> str:
    """Say how many of the frames that the model sees came in another size than the first; "" for none."""
    others = [size for size in sizes if size != first]
    if not others:
        return ""
    width, height = others[0]
    return (
        f"{len(others)} of {len(sizes)} frames are of another size ({width} x {height} pixels) than the first "
        f"({first[0]} x {first[1]}), and are brought to it"
    )


def _between(steps: Sequence[ClockStep], first: int, last: int) -> list[ClockStep]:
    return [step for step in steps if first < step.frame <= last]
