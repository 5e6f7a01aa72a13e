"""A stream's frames and windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class Frame:
    """One frame.

    number: index among the accepted frames. timestamp: seconds by the client's clock, its jumps bridged. size: bytes of
    its message. jumps: how often the clock jumped up to it. stretch: index of the run of frames without a break that it
    belongs to. content: an EncodedFrame at first, a DecodedFrame after push, None when let go. holders: how many of the
    ring and the windows still need it. used: whether an answered window has it.
    """

    number: int
    sequence: int
    timestamp: float
    size: int
    content: Any
    jumps: int = 0
    stretch: int = 0
    holders: int = 0
    used: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """T frames to be explained together, oldest first.

    ordinal: index among the windows that came due. fps: frames per second at which they show the world; 0 when unknown.
    notes: what people should know of the frames' times.
    """

    ordinal: int
    frames: tuple[Frame, ...]
    fps: float
    notes: tuple[str, ...] = ()

    @property
    def newest(self) -> Frame:
        """The last frame."""
        return self.frames[-1]
