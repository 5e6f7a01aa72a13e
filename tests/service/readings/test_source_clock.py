"""A source's clock, whatever it says."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.readings.source_clock import SourceClock, rate_note


def test_the_usual_rates_are_not_questioned():
    assert [rate_note(fps) for fps in (0, 0.2, 1, 25, 240, 1000)] == [""] * 6
    assert all(rate_note(fps) for fps in (0.03, 25000))


@given(
    st.lists(st.one_of(st.none(), st.integers(-(10**9), 10**9).map(lambda ms: ms / 1000)), min_size=1, max_size=60),
    st.sampled_from([0.0, 25.0, 0.1]),
)
def test_whatever_the_clock_says_time_rises(times, rate):
    clock = SourceClock(rate, "mpegts")
    read = [clock.add(time) for time in times]
    assert read[0] == 0
    assert all(later > earlier for earlier, later in pairwise(read))
    assert len(clock.jumps) < len(times)


@given(st.lists(st.floats(0.001, 0.2), min_size=1, max_size=60))
def test_a_clock_that_rises_is_left_alone(steps):
    clock = SourceClock(0.0, "mpegts")
    times = np.cumsum([7.0, *steps])
    np.testing.assert_allclose([clock.add(time) for time in times], times - 7, atol=1e-9)
    assert not clock.jumps
