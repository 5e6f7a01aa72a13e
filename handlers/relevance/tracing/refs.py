"""Values of a program while it is recorded, inside the arguments of the calls that make them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from handlers.relevance.operations.base import Operation
from handlers.relevance.rules import Rules


@dataclass(frozen=True)
class Ref:
    """A value of the program: its number, how many axes it has, and which values share its memory."""

    number: int
    axes: int
    memory: int
    is_size: bool = False


class StepRecorder(Protocol):
    """The recorder as the functions that record one kind of call see it."""

    rules: Rules

    def step(self, operation: Operation, inputs: Sequence[Ref], axes: int, shares: Ref | None = None) -> Ref:
        """A new step; returns its value. shares: the value whose memory this one is a view of."""

    def made(self, operation: Operation, x: Ref) -> Ref:
        """A new step of one input, batch norm folded where the rules say so."""

    def made_by(self, ref: Ref) -> Operation | None:
        """The operation that made a value; None for the clip."""


def flat(tree: Any) -> list[Any]:
    """All leaves of nested arguments."""
    if isinstance(tree, Ref):
        return [tree]
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in flat(value)]
    if isinstance(tree, slice):
        return [leaf for value in (tree.start, tree.stop, tree.step) for leaf in flat(value)]
    if isinstance(tree, list | tuple):
        return [leaf for value in tree for leaf in flat(value)]
    return [tree]


def filled(compute: Callable[..., Any], template: Sequence[Any]) -> Callable[..., Any]:
    """compute with the Refs of the template filled in at run time."""

    def call(*found: Any) -> Any:
        supply = iter(found)
        return compute(*(next(supply) if isinstance(part, Ref) else part for part in template))

    return call
