"""The levels that a budget moves between: those of the requested methods that each keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from actionlens.v1 import answer_pb2, method_pb2
from service.validation.request import method_name

_LEVELS = {
    "grad-cam": answer_pb2.EXPLANATION_LEVEL_GRAD_CAM,
    "selective-relevance": answer_pb2.EXPLANATION_LEVEL_SELECTIVE_RELEVANCE,
}
_TOP = answer_pb2.EXPLANATION_LEVEL_TEMPORAL_RELEVANCE

Methods = tuple[method_pb2.Method, ...]
_GAP = "the insertion-deletion gap"


class Level(NamedTuple):
    """What a window is explained with. gap: whether the insertion-deletion gap of each explanation is measured too."""

    methods: Methods
    gap: bool = False


def level_of(name: str) -> answer_pb2.ExplanationLevel:
    """The lowest level that has a method, by its name."""
    return _LEVELS.get(name, _TOP)


def method_levels(methods: Sequence[method_pb2.Method]) -> tuple[Methods, ...]:
    """Prediction only, with Grad-CAM, with selective relevance too, and all that was asked for, cheapest first.

    Levels that would be alike are one, and none has what was not asked for.
    """
    levels: list[Methods] = [()]
    for level in range(answer_pb2.EXPLANATION_LEVEL_GRAD_CAM, _TOP + 1):
        kept = tuple(method for method in methods if level_of(method_name(method)) <= level)
        if len(kept) > len(levels[-1]):
            levels.append(kept)
    return tuple(levels)


def levels(full: Level) -> tuple[Level, ...]:
    """`method_levels`, and on top of them what is measured: no explanation is left out for it."""
    found = tuple(Level(methods) for methods in method_levels(full.methods))
    return (*found, full) if full.gap else found


def gained(higher: Level, lower: Level) -> str:
    """Name what a level has beyond a lower one for people: "grad-cam", "dtd and atr", "dtd, clrp and atr"."""
    methods = [method for method in higher.methods if method not in lower.methods]
    more = [_GAP] if higher.gap and not lower.gap else []
    *front, last = dict.fromkeys([*(method_name(method) for method in methods), *more])
    return f"{', '.join(front)} and {last}" if front else last


def computed(answer: answer_pb2.Answer) -> list[str]:
    """Names of the methods that an answer has, those of the highest level first; those that failed are left out."""
    names = [entry.method for entry in answer.explanations if not entry.HasField("failure")]
    return sorted(dict.fromkeys(names), key=level_of, reverse=True)


def computed_briefly(answer: answer_pb2.Answer) -> str:
    """As `computed`, in few letters: "prediction", "dtd", "atr +2"."""
    highest, *others = computed(answer) or ["prediction"]
    return highest.removesuffix("-relevance") + (f" +{len(others)}" if others else "")
