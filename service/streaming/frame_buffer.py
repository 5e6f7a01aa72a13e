"""The ring of frames of one stream, from the wire into windows: a state machine without clock, threads or pixels.

    receive -> undecoded -> take -> push -> ring -> due window -> next_window -> settle
                   |          |               |
              dropped_full  rejected     dropped_stale

Every frame is in exactly one of these states, so received = used + dropped_stale + dropped_full + rejected + waiting
holds after every step.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

from service.readings.source_clock import jump_note, rate_note, repeat_note, seconds_text
from service.streaming.drop_policy import DropPolicy
from service.streaming.frames import Frame, Window
from service.streaming.window_sampling import StreamClock, WindowShape, choose, speed, spread
from service.telemetry.records import FrameCounts

_REMEMBERED_JUMPS = 256


class Overrun(Exception):
    """The sender ignored its credit."""


class FrameBuffer:
    """Holds undecoded frames, the ring of the last `shape.span` decoded ones, and due windows, within a drop policy."""

    def __init__(self, shape: WindowShape, policy: DropPolicy) -> None:
        self.shape = shape
        self._policy = policy
        self._undecoded: deque[Frame] = deque()
        self._undecoded_bytes = 0
        self._ring: deque[Frame] = deque()
        self._pending: deque[Window] = deque()
        self._taken: set[Frame] = set()
        self._started: set[Window] = set()
        self._clock = StreamClock(shape.span, live=policy.drop_oldest)
        self._sent_jumps = 0
        # Of frames after a jump: the jumps up to each, and its sequence.
        self._jumps: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED_JUMPS)
        self._stretch = 0
        self._stretch_start = 0
        self._explained_stretch = 0
        self._counts = FrameCounts()
        self._last_sequence = -1
        self._accepted = 0
        self._due_at = shape.span - 1
        self._windows = 0
        self._skipped = 0
        self._released = 0

    @property
    def counts(self) -> FrameCounts:
        """A copy of the totals."""
        return replace(self._counts)

    @property
    def undecoded(self) -> int:
        """Frames that wait for decoding."""
        return len(self._undecoded)

    @property
    def pending(self) -> int:
        """Windows that wait for a worker."""
        return len(self._pending)

    @property
    def windows(self) -> int:
        """Windows that came due."""
        return self._windows

    @property
    def skipped(self) -> int:
        """Windows that came due and will not be answered."""
        return self._skipped

    @property
    def releasable(self) -> int:
        """Frames that left the undecoded queue since the last `release`: credit to give back."""
        return self._released

    def release(self) -> int:
        """Take the credit that is to be given back."""
        released, self._released = self._released, 0
        return released

    def has_room(self) -> bool:
        """Whether another frame may be read. Always, when the buffer drops; else while there is room for its bytes."""
        return self._policy.drop_oldest or self._undecoded_bytes < self._policy.frame_bytes

    def receive(self, sequence: int, timestamp: float, content: Any, size: int, jumps: int = 0) -> Frame | None:
        """Take a frame from the wire; None when its sequence does not rise (counted as rejected).

        jumps: of the source's clock up to this frame, which the client has bridged.
        Raises Overrun when the policy drops no frames and as many wait already as may.
        """
        policy = self._policy
        if not policy.drop_oldest and len(self._undecoded) >= policy.frames:
            raise Overrun(f"{policy.frames} frames wait already")
        self._counts.received += 1
        if sequence <= self._last_sequence:
            self._counts.rejected += 1
            self._released += 1
            return None
        if self._accepted:
            self._counts.missing += sequence - self._last_sequence - 1
        self._last_sequence = sequence
        time = self._clock.read(timestamp)
        self._sent_jumps = max(self._sent_jumps, jumps)
        jumps = self._clock.jumps + self._sent_jumps
        if jumps > self._counts.clock_jumps:
            self._jumps.append((jumps, sequence))
            self._counts.clock_jumps = jumps
        frame = Frame(self._accepted, sequence, time, size, content, jumps, self._clock.stretch)
        self._accepted += 1
        self._counts.waiting += 1
        self._undecoded.append(frame)
        self._undecoded_bytes += size
        while policy.drop_oldest and self._overfull():
            self._counts.dropped_full += 1
            self._counts.waiting -= 1
            self._leave_queue()
        return frame

    def can_take(self) -> bool:
        """Whether a frame waits for decoding and there is room for a window that it may complete."""
        return bool(self._undecoded) and (self._policy.newest_window or len(self._pending) < self._policy.windows)

    def take(self) -> Frame:
        """Take the oldest undecoded frame, to be decoded and then given to `push` or `reject`."""
        frame = self._leave_queue()
        self._taken.add(frame)
        return frame

    def reject(self, frame: Frame) -> None:
        """Give up the taken frame: it is no usable image."""
        self._taken.remove(frame)
        frame.content = None
        self._counts.rejected += 1
        self._counts.waiting -= 1

    def push(self, frame: Frame, content: Any) -> None:
        """Put the decoded frame into the ring; a window comes due when its hop is complete."""
        self._taken.remove(frame)
        if frame.stretch > self._stretch:
            self._stretch, self._stretch_start = frame.stretch, frame.number
            while self._ring:
                self._let_go(self._ring.popleft())
            self._due_at = frame.number + self.shape.span - 1
        frame.content = content
        frame.holders += 1
        self._ring.append(frame)
        if len(self._ring) > self.shape.span:
            self._let_go(self._ring.popleft())
        if frame.number >= self._due_at:
            self._due_at += self.shape.hop * ((frame.number - self._due_at) // self.shape.hop + 1)
            self._clock.window_came_due()
            self._add(choose(self._ring, self.shape, self._clock.spacing.value()), "no others are near their moments")

    def note_resized(self) -> None:
        """Count a frame that was brought to the size of the first."""
        self._counts.resized += 1

    def end(self) -> None:
        """Note that no more frames come. A stream shorter than one window gets one window over all of it."""
        if self._ring and not self._windows:
            self._add(spread(self._ring, self.shape.frames), "the stream is shorter than a window")

    def next_window(self) -> Window | None:
        """Take the window to be explained next; give it to `settle` afterwards."""
        if not self._pending:
            return None
        window = self._pending.popleft()
        self._started.add(window)
        return window

    def settle(self, window: Window, *, answered: bool) -> None:
        """Note that the started window was answered, or never will be."""
        self._started.remove(window)
        self._settle(window, answered=answered)

    def close(self) -> None:
        """Give up everything that has not been answered; nothing is waiting afterwards. Safe to call twice."""
        for window in (*self._started, *self._pending):
            self._settle(window, answered=False)
        for frame in (*self._taken, *self._undecoded):
            self._counts.dropped_stale += 1
            self._counts.waiting -= 1
            frame.content = None
        for frame in self._ring:
            self._let_go(frame)
        for collection in (self._started, self._pending, self._taken, self._undecoded, self._ring):
            collection.clear()

    def _add(self, frames: list[Frame], why_repeated: str) -> None:
        window = Window(self._windows, tuple(frames), speed(frames), self._notes(frames, why_repeated))
        self._windows += 1
        for frame in dict.fromkeys(frames):
            frame.holders += 1
        if self._policy.newest_window and self._pending:
            self._settle(self._pending.popleft(), answered=False)
        self._pending.append(window)

    def _notes(self, frames: list[Frame], why_repeated: str) -> tuple[str, ...]:
        """What people should know of a window's times. A break is told for as long as a window lasts, and until one
        after it is answered."""
        first, last = frames[0], frames[-1]
        notes = []
        fresh = first.number < self._stretch_start + self.shape.span
        if first.stretch and (fresh or first.stretch > self._explained_stretch):
            notes.append(f"no frames for {seconds_text(self._clock.pause)}: windows begin anew after that")
        if last.jumps > first.jumps:
            jump = next((sequence for jumps, sequence in self._jumps if jumps > first.jumps), last.sequence)
            notes.append(jump_note(jump, None, last.jumps - first.jumps))
        notes.append(repeat_note([frame.sequence for frame in frames], why_repeated))
        spacing = self._clock.spacing.value()
        notes.append(rate_note(1 / spacing) if spacing > 0 else "")
        return tuple(filter(None, notes))

    def _settle(self, window: Window, *, answered: bool) -> None:
        if answered:
            self._explained_stretch = max(self._explained_stretch, window.newest.stretch)
        else:
            self._skipped += 1
        for frame in dict.fromkeys(window.frames):
            if answered and not frame.used:
                frame.used = True
                self._counts.used += 1
                self._counts.waiting -= 1
            self._let_go(frame)

    def _let_go(self, frame: Frame) -> None:
        frame.holders -= 1
        if not frame.holders:
            frame.content = None
            if not frame.used:
                self._counts.dropped_stale += 1
                self._counts.waiting -= 1

    def _leave_queue(self) -> Frame:
        frame = self._undecoded.popleft()
        self._undecoded_bytes -= frame.size
        self._released += 1
        return frame

    def _overfull(self) -> bool:
        return len(self._undecoded) > self._policy.frames or (
            self._undecoded_bytes > self._policy.frame_bytes and len(self._undecoded) > 1
        )
