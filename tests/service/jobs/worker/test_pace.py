"""Seconds that pass for each of computing."""

from __future__ import annotations

from service.jobs.worker.pace import Pace


def test_the_pace_is_of_the_last_blocks() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    assert pace.after(2.0) == 1.0
    now += 10.0  # eight seconds of waiting before the block of two
    assert pace.after(2.0) == (0.8 * 2 + 10) / (0.8 * 2 + 2)
    for _ in range(40):
        now += 10.0
        last = pace.after(2.0)
    assert abs(last - 5.0) < 0.01
    for _ in range(40):
        now += 2.0
        last = pace.after(2.0)
    assert 1.0 <= last < 1.01


def test_the_pace_is_never_below_one() -> None:
    pace = Pace(lambda: 0.0)
    assert [pace.after(0.0), pace.after(3.0), pace.after(3.0)] == [1.0, 1.0, 1.0]
