"""The drop policy: which frames and windows a stream throws away when they come faster than they are answered."""

from __future__ import annotations

from dataclasses import dataclass

from actionlens.v1 import service_pb2
from service.settings import StreamSettings

_WAITING_WINDOWS = 2


@dataclass(frozen=True, slots=True)
class DropPolicy:
    """The bounds of a FrameBuffer and what gives way at them. All that is thrown away is counted (FrameCounts).

    drop_oldest: with more than `frames` frames or `frame_bytes` bytes undecoded, the oldest frame is thrown away and
    counted as dropped_full. Else nothing is read while the bytes are full, and more than `frames` frames are an
    Overrun. newest_window: only the newest due window waits; the one that it replaces is skipped, and its frames that
    no answered window has are counted as dropped_stale. Else up to `windows` windows wait in order, and frames wait
    undecoded for them.
    """

    drop_oldest: bool
    newest_window: bool
    frames: int
    frame_bytes: int
    windows: int

    @classmethod
    def read(cls, message: service_pb2.StreamOpen, bounds: StreamSettings) -> DropPolicy:
        """Read a stream's FillPolicy and ConsumePolicy. Where no frame may be dropped, twice the credit may wait."""
        drop_oldest = message.fill == service_pb2.FILL_POLICY_DROP_OLDEST
        return cls(
            drop_oldest=drop_oldest,
            newest_window=message.consume == service_pb2.CONSUME_POLICY_NEWEST,
            frames=bounds.credit if drop_oldest else 2 * bounds.credit,
            frame_bytes=bounds.buffer_bytes,
            windows=_WAITING_WINDOWS,
        )
