"""Makes different names for things of one name: files, and the explanations of an answer."""

from __future__ import annotations

from collections.abc import Iterable

from actionlens.v1 import answer_pb2


def distinct(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """The names in order, with "-2", "-3" ... appended where one was there before. taken: names not to give at all."""
    used, counts = set(taken), dict[str, int]()
    chosen = []
    for name in names:
        count, candidate = counts.get(name, 1), name
        while candidate in used:
            count += 1
            candidate = f"{name}-{count}"
        counts[name] = count
        used.add(candidate)
        chosen.append(candidate)
    return chosen


def explanation_names(answer: answer_pb2.Answer) -> list[str]:
    """A different name for each explanation: its method, with "-2", "-3" ... where one was asked for again."""
    return distinct(entry.method for entry in answer.explanations)
