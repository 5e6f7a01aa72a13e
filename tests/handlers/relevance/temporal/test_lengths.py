"""Row lengths and their summary, by hand."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from actionlens.row_lengths import row_length, row_lengths, row_window, summary


def test_by_hand() -> None:
    assert row_length([0, 0, 1, 0, 0], 2, 0.975) == 1
    assert row_length([0, 0, 1, 0, 0], 4, 0.975) == 3
    assert row_length([1, 1, 1, 1], 0, 0.5) == 2
    assert row_length([1, 1, 1, 1], 1, 0.975) == 4
    assert row_length([-1, -2, -1], 1, 0.5) == 1
    assert row_length([0.9, 0.05, 0.025, 0.025], 0, 0.975) == 3
    assert row_length([1, -1], 0, 0.975) == 0
    assert row_length([float("nan"), 1], 0, 0.975) == 0


def test_the_window_is_the_earliest_of_the_shortest() -> None:
    assert row_window([0, 0, 1, 0, 0], 4, 0.975) == range(2, 5)
    assert row_window([1, 1, 1, 1], 1, 0.5) == range(0, 2)
    assert row_window([1, 1, 1, 1], 3, 0.5) == range(2, 4)
    assert len(row_window([1, -1], 0, 0.975)) == 0


def test_rows_are_anchored_at_the_nearest_frame_the_earlier_of_two() -> None:
    matrix = [[1.0, 0, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1.0]]
    assert row_lengths(matrix, [0.5, 1.6, 9.0], 0.975) == [1, 3, 1]


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=9), st.integers(0, 8), st.floats(0.05, 1))
def test_shortest_by_exhaustion(row: list[float], anchor: int, share: float) -> None:
    anchor = min(anchor, len(row) - 1)
    shares = {(a, b): sum(row[a : b + 1]) / sum(row) for a in range(anchor + 1) for b in range(anchor, len(row))}
    assume(all(abs(value - (share - 1e-7)) > 1e-12 for value in shares.values()))
    fitting = [b - a + 1 for (a, b), value in shares.items() if value >= share - 1e-7]
    assert row_length(row, anchor, share) == min(fitting)


def test_summary_counts_positive_rows_weighted_by_their_logits() -> None:
    average, most, reason = summary([2, 4, 9, 0], [1.0, 3.0, -1.0, 5.0])
    assert (average, most, reason) == (3.5, 4.0, "")
    assert summary([2, 4], [-1.0, 0.0])[:2] == (None, None)
