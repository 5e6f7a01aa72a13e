"""A stream's frames and windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
