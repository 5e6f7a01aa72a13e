from __future__ import annotations

from service.webcam.sparkline import sparkline, stretched


def test_the_newest_values_stand_right_on_a_fixed_scale() -> None:
    assert sparkline([0.0, 0.01, 0.5, 1.0], 6, 1.0) == "   ▁▄█"
    assert sparkline([1.0, 0.0, 0.5], 2, 1.0) == " ▄"
    assert sparkline([0.2], 0, 1.0) == ""


def test_what_is_not_above_zero_is_empty() -> None:
    assert sparkline([-1.0, 0.0], 2, 1.0) == "  "
    assert sparkline([1.0], 1, 0.0) == " "


def test_values_are_stretched_over_the_width() -> None:
    assert stretched([1.0, 2.0], 4) == "▄▄██"
    # Of several values in one column the highest counts: a short peak is not lost.
    assert stretched([0.0, 4.0, 0.0, 1.0], 2) == "█▂"
    assert stretched([-1.0, -2.0], 2) == "  "
    assert stretched([], 5) == ""
