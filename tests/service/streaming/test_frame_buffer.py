"""The frame buffer against a shadow model that follows the fate of every single frame."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.streaming.drop_policy import DropPolicy
from service.streaming.frame_buffer import FrameBuffer, Overrun
from service.streaming.frames import Window
from service.streaming.window_sampling import WindowShape


def policy(*, drop: bool, newest: bool, frames: int, windows: int, frame_bytes: int = 10**9) -> DropPolicy:
    return DropPolicy(drop_oldest=drop, newest_window=newest, frames=frames, frame_bytes=frame_bytes, windows=windows)


class Shadow:
    """Runs a buffer and keeps, for each frame, where it must be; knows nothing of the buffer's insides."""

    def __init__(self, shape: WindowShape, *, drop: bool, newest: bool, room: int, backlog: int) -> None:
        self.buffer = FrameBuffer(shape, policy(drop=drop, newest=newest, frames=room, windows=backlog))
        self.shape, self.drop, self.newest, self.room = shape, drop, newest, room
        self.received = self.not_rising = self.missing = 0
        self.last: int | None = None
        self.queue: list[int] = []
        self.dropped: set[int] = set()
        self.bad: set[int] = set()
        self.pushed: list[int] = []
        self.answered: set[int] = set()
        self.flying: list[Window] = []
        self.seen: list[int] = []
        self.credit = 0

    def receive(self, step: int) -> None:
        sequence = (self.last if self.last is not None else 5) + step
        if not self.drop and len(self.queue) >= self.room:
            with pytest.raises(Overrun):
                self.buffer.receive(sequence, sequence / 30, b"", 1)
            return
        self.received += 1
        frame = self.buffer.receive(sequence, sequence / 30, b"", 1)
        if self.last is not None and step <= 0:
            assert frame is None
            self.not_rising += 1
            return
        assert frame is not None
        if self.last is not None:
            self.missing += step - 1
        self.last = sequence
        self.queue.append(sequence)
        if self.drop and len(self.queue) > self.room:
            self.dropped.add(self.queue.pop(0))

    def decode(self, good: bool) -> None:
        if not self.buffer.can_take():
            return
        frame = self.buffer.take()
        assert frame.sequence == self.queue.pop(0), "frames must be decoded in order"
        if good:
            self.buffer.push(frame, "pixels")
            self.pushed.append(frame.sequence)
        else:
            self.buffer.reject(frame)
            self.bad.add(frame.sequence)

    def start(self) -> None:
        window = self.buffer.next_window()
        if window is not None:
            assert all(frame.content == "pixels" for frame in window.frames)
            assert len(window.frames) == self.shape.frames
            self.seen.append(window.ordinal)
            self.flying.append(window)

    def settle(self, answered: bool) -> None:
        if self.flying:
            window = self.flying.pop(0)
            if answered:
                self.answered |= {frame.sequence for frame in window.frames}
            self.buffer.settle(window, answered=answered)

    def check(self) -> None:
        counts = self.buffer.counts
        assert counts.received == self.received
        assert counts.rejected == self.not_rising + len(self.bad)
        assert counts.dropped_full == len(self.dropped)
        assert counts.used == len(self.answered)
        assert counts.missing == self.missing
        drops = counts.dropped_stale + counts.dropped_full
        assert counts.received == counts.used + drops + counts.rejected + counts.waiting
        # Whatever is still queued, in the last `span` decoded frames or in a window in flight may yet be used.
        alive = set(self.queue) | set(self.pushed[-self.shape.span :])
        alive |= {frame.sequence for window in self.flying for frame in window.frames}
        lost = set(self.pushed) - self.answered - alive
        if not self.buffer.pending:
            assert counts.dropped_stale == len(lost)
            assert counts.waiting == len(alive - self.answered)
        assert min(asdict(counts).values()) >= 0
        self.credit += self.buffer.release()
        assert self.credit + self.buffer.undecoded == counts.received

    def finish(self) -> None:
        while self.queue or self.flying or self.buffer.pending:
            before = len(self.queue)
            self.decode(True)
            if len(self.queue) == before:
                self.start()
                self.settle(True)
        self.buffer.end()
        self.start()
        self.settle(True)
        self.check()
        self.buffer.close()
        counts = self.buffer.counts
        assert counts.waiting == 0
        assert counts.received == counts.used + counts.dropped_stale + counts.dropped_full + counts.rejected
        assert counts.used == len(self.answered)


STEPS = st.one_of(
    st.tuples(st.just("receive"), st.integers(-1, 4)),
    st.tuples(st.just("decode"), st.booleans()),
    st.tuples(st.just("start"), st.none()),
    st.tuples(st.just("settle"), st.booleans()),
    # Weight the schedule towards frames that simply arrive and are decoded.
    st.tuples(st.just("receive"), st.just(1)),
    st.tuples(st.just("decode"), st.just(True)),
)


@settings(max_examples=150)
@given(
    shape=st.builds(WindowShape, st.integers(1, 5), st.integers(1, 3), st.integers(1, 12)),
    drop=st.booleans(),
    newest=st.booleans(),
    room=st.integers(1, 4),
    backlog=st.integers(1, 3),
    steps=st.lists(STEPS, max_size=120),
)
def test_every_frame_is_in_exactly_one_state(
    shape: WindowShape, drop: bool, newest: bool, room: int, backlog: int, steps: list[tuple[str, int | bool | None]]
) -> None:
    shadow = Shadow(shape, drop=drop, newest=newest, room=room, backlog=backlog)
    for name, argument in steps:
        action = getattr(shadow, name)
        action() if argument is None else action(argument)
        shadow.check()
    shadow.finish()
    # Windows are counted from 0 in the order in which they came due, those skipped included.
    assert shadow.seen == sorted(set(shadow.seen))
    if not newest:
        assert shadow.seen == list(range(shadow.buffer.windows))


@settings(max_examples=60)
@given(shape=st.builds(WindowShape, st.integers(1, 6), st.integers(1, 3), st.integers(1, 9)), count=st.integers(0, 60))
def test_a_lossless_stream_answers_exactly_the_windows_of_the_definition(shape: WindowShape, count: int) -> None:
    buffer = FrameBuffer(shape, policy(drop=False, newest=False, frames=2, frame_bytes=100, windows=1))
    found = []
    for number in range(count):
        buffer.receive(number, number / 25, b"", 1)
        buffer.push(buffer.take(), number)
        window = buffer.next_window()
        if window is not None:
            found.append([frame.content for frame in window.frames])
            buffer.settle(window, answered=True)
    ends = range(shape.span - 1, count, shape.hop)
    assert found == [list(range(end - shape.span + 1, end + 1, shape.stride)) for end in ends]


def test_the_newest_due_window_replaces_the_waiting_one() -> None:
    buffer = FrameBuffer(WindowShape(2, 1, 1), policy(drop=True, newest=True, frames=4, frame_bytes=100, windows=9))
    for number in range(6):
        buffer.receive(number, float(number), b"", 1)
        buffer.push(buffer.take(), number)
    window = buffer.next_window()
    assert window is not None
    assert [frame.content for frame in window.frames] == [4, 5]
    assert (window.ordinal, buffer.windows, buffer.skipped) == (4, 5, 4)


def test_bytes_are_bounded_as_well_as_frames() -> None:
    dropping = FrameBuffer(WindowShape(2, 1, 1), policy(drop=True, newest=True, frames=9, frame_bytes=10, windows=1))
    for number in range(4):
        dropping.receive(number, 0.0, b"", 6)
    assert (dropping.undecoded, dropping.counts.dropped_full) == (1, 3)
    blocking = FrameBuffer(WindowShape(2, 1, 1), policy(drop=False, newest=False, frames=9, frame_bytes=10, windows=1))
    blocking.receive(0, 0.0, b"", 6)
    assert blocking.has_room()
    blocking.receive(1, 0.0, b"", 6)
    assert not blocking.has_room()
    blocking.take()
    assert blocking.has_room()


def test_a_stream_shorter_than_a_window_gets_one_window_over_all_of_it() -> None:
    buffer = FrameBuffer(WindowShape(8, 2, 2), policy(drop=False, newest=False, frames=9, frame_bytes=100, windows=1))
    for number in range(5):
        buffer.receive(number, number / 10, b"", 1)
        buffer.push(buffer.take(), number)
    assert buffer.next_window() is None
    buffer.end()
    window = buffer.next_window()
    assert window is not None
    assert [frame.content for frame in window.frames] == [0, 1, 1, 2, 2, 3, 3, 4]
    buffer.settle(window, answered=True)
    buffer.close()
    assert buffer.counts.used == 5
