"""Numbers as bars of characters: one as a bar, a series as a line of bars."""

from __future__ import annotations

from collections.abc import Sequence

_BAR = 28
_EIGHTHS = " ▏▎▍▌▋▊▉"
_LEVELS = " ▁▂▃▄▅▆▇█"


def bar(share: float, width: int = _BAR) -> str:
    """A bar of eighths of a character, `width` characters when share is 1."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def sparkline(values: Sequence[float], width: int, top: float) -> str:
    """The newest values as bars of an eighth to a whole line, right-aligned in `width` characters.

    top: the value of a whole bar. Above 0 a bar is never empty; what is not above 0 is empty.
    """
    newest = values[-width:] if width > 0 else ()
    return "".join(_bar(value / top if top > 0 else 0.0) for value in newest).rjust(width)


def stretched(values: Sequence[float], width: int) -> str:
    """All values over `width` characters, the highest a whole bar: several characters per value, or several values
    per character, of which the highest is shown."""
    count = len(values)
    if not count or width < 1:
        return ""
    top = max(max(values), 0.0)
    bars = []
    for index in range(width):
        first = index * count // width
        last = max(first + 1, (index + 1) * count // width)
        bars.append(_bar(max(values[first:last]) / top if top > 0 else 0.0))
    return "".join(bars)


def _bar(share: float) -> str:
    most = len(_LEVELS) - 1
    return _LEVELS[0] if share <= 0 else _LEVELS[max(1, min(round(share * most), most))]
