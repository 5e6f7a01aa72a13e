"""A stream's frames, their windows, and the totals of what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Counts:
    """Totals since the stream opened; the fields of actionlens.v1.FrameCounts."""

    received: int = 0
    used: int = 0
    dropped_stale: int = 0
    dropped_full: int = 0
    rejected: int = 0
    waiting: int = 0
    missing: int = 0


@dataclass(slots=True, eq=False)
class Frame:
    """One frame. number: place among the accepted frames; content: encoded first, pixels after push."""

    number: int
    sequence: int
    timestamp: float
    size: int
    content: Any
    holders: int = 0
    used: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """T frames to be explained together, oldest first; ordinal counts the windows that came due."""

    ordinal: int
    frames: tuple[Frame, ...]
    fps: float

    @property
    def newest(self) -> Frame:
        return self.frames[-1]
