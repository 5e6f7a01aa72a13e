"""Names for files of several things."""

from __future__ import annotations

from collections.abc import Iterable


def distinct(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """The names in order, with "-2", "-3" ... appended where one was there before. taken: names not to give at all."""
    used, turns = set(taken), dict[str, int]()
    chosen = []
    for name in names:
        turn, candidate = turns.get(name, 1), name
        while candidate in used:
            turn += 1
            candidate = f"{name}-{turn}"
        turns[name] = turn
        used.add(candidate)
        chosen.append(candidate)
    return chosen
