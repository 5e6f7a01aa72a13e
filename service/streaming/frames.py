"""A stream's frames and windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class Frame:
    """One frame.

    number: index among the accepted frames. timestamp: seconds by the client's clock. size: bytes of its message.
    content: an EncodedFrame at first, a DecodedFrame after push, None when let go. holders: how many of the ring and
    the windows still need it. used: whether an answered window has it.
    """

    number: int
    sequence: int
    timestamp: float
    size: int
    content: Any
    holders: int = 0
    used: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """T frames to be explained together, oldest first.

    ordinal: index among the windows that came due. fps: frames per second at which they show the world; 0 when unknown.
    """

    ordinal: int
    frames: tuple[Frame, ...]
    fps: float

    @property
    def newest(self) -> Frame:
        """The last frame."""
        return self.frames[-1]
