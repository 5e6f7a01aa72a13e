"""The choice of a window's frames when frames were lost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.streaming.window_sampling import Spacing, StreamClock, WindowShape, choose, speed, spread


@dataclass(frozen=True)
class Point:
    number: int
    timestamp: float


def spacing_of(points: list[Point]) -> float:
    spacing = Spacing()
    for point in points:
        spacing.add(point.timestamp)
    return spacing.value()


def test_without_losses_every_stride_th_frame_is_taken() -> None:
    points = [Point(n, 10 + n / 30) for n in range(9)]
    chosen = choose(points, WindowShape(4, 2, 1), spacing_of(points))
    assert [point.number for point in chosen] == [2, 4, 6, 8]
    assert speed(chosen) == pytest.approx(15)


def test_frames_that_the_client_left_out_do_not_stretch_the_window() -> None:
    # 30 fps, and the client skipped the ten frames between 0.4 s and 0.7333 s.
    times = [n / 30 for n in range(40) if not 12 < n < 23]
    points = [Point(n, t) for n, t in enumerate(times)]
    shape = WindowShape(16, 1, 1)
    chosen = choose(points, shape, spacing_of(points))
    assert chosen[-1].timestamp - chosen[0].timestamp == pytest.approx(15 / 30, abs=0.5 / 30 + 1e-9)
    assert speed(chosen) == pytest.approx(30, rel=0.04)


def test_frames_that_the_service_threw_away_do_not_stretch_the_window() -> None:
    received = [Point(n, n / 30) for n in range(40)]
    kept = [point for point in received if point.number % 3 == 0 or point.number == 39]
    chosen = choose(kept, WindowShape(16, 1, 1), spacing_of(received))
    assert chosen[-1].number == 39
    assert chosen[-1].timestamp - chosen[0].timestamp == pytest.approx(15 / 30, abs=1.5 / 30)


def test_jitter_alone_changes_nothing() -> None:
    points = [Point(n, n / 30 + (0.008 if n % 2 else -0.008)) for n in range(16)]
    chosen = choose(points, WindowShape(16, 1, 1), spacing_of(points))
    assert [point.number for point in chosen] == list(range(16))


def test_clocks_that_do_not_rise_are_ignored() -> None:
    points = [Point(n, 0.0) for n in range(8)]
    assert spacing_of(points) == 0
    chosen = choose(points, WindowShape(4, 2, 1), 0.0)
    assert [point.number for point in chosen] == [1, 3, 5, 7]
    assert speed(chosen) == 0


@settings(max_examples=200)
@given(
    gaps=st.lists(st.integers(1, 6), min_size=1, max_size=40),
    frames=st.integers(1, 8),
    stride=st.integers(1, 4),
)
def test_each_slot_has_the_frame_nearest_to_its_moment(gaps: list[int], frames: int, stride: int) -> None:
    times, now = [], 0
    for gap in gaps:
        now += gap
        times.append(now)
    ring = [Point(n, float(t)) for n, t in enumerate(times)]
    shape = WindowShape(frames, stride, 1)
    chosen = choose(ring, shape, 1.0)
    assert len(chosen) == frames
    assert chosen[-1] == ring[-1]
    by_number = [ring[max(len(ring) - 1 - k * stride, 0)] for k in range(frames - 1, -1, -1)]
    if chosen != by_number:
        for k, point in enumerate(reversed(chosen)):
            moment = now - k * stride
            assert abs(point.timestamp - moment) == min(abs(t - moment) for t in times)


@settings(max_examples=200)
@given(st.lists(st.integers(-5000, 5000).map(lambda ms: ms / 1000), min_size=1, max_size=80), st.booleans())
def test_whatever_a_clients_clock_says_time_does_not_go_back(steps: list[float], live: bool) -> None:
    clock = StreamClock(31, live=live)
    read, now = [], 0.0
    for step in steps:
        now += step
        read.append(clock.read(now))
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(read))
    assert clock.jumps >= sum(step < 0 for step in steps[1:])
    assert live or clock.stretch == 0


def test_a_clients_clock_that_rises_evenly_is_left_alone() -> None:
    for period in (0.001, 0.04, 1.0, 40.0):
        clock = StreamClock(31, live=True)
        assert [clock.read(5 + n * period) for n in range(50)] == pytest.approx([5 + n * period for n in range(50)])
        assert (clock.jumps, clock.stretch) == (0, 0)
        assert clock.spacing.value() == pytest.approx(period)


def test_a_source_that_slows_down_for_good_is_followed() -> None:
    clock = StreamClock(31, live=True)
    times = [n / 25 for n in range(50)]
    times += [times[-1] + 5.0 * n for n in range(1, 60)]
    read = [clock.read(time) for time in times]
    assert read[-1] - read[-11] == pytest.approx(50)
    assert clock.stretch + clock.jumps < 12


def test_a_live_source_of_short_bursts_still_has_windows() -> None:
    """Bursts of five frames, windows of 31: after three breaks without a window, the next are bridged."""
    clock = StreamClock(31, live=True)
    for burst in range(20):
        for frame in range(5):
            clock.read(10.0 * burst + frame / 25)
    assert (clock.stretch, clock.jumps) == (3, 16)
    clock.window_came_due()
    clock.read(1000.0)
    assert (clock.stretch, clock.jumps) == (4, 16)


def test_spread_is_linspace() -> None:
    points = [Point(n, n) for n in range(10)]
    assert [p.number for p in spread(points, 4)] == [0, 3, 6, 9]
    assert [p.number for p in spread(points, 1)] == [0]
    assert [p.number for p in spread(points[:1], 3)] == [0, 0, 0]
