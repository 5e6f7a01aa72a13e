"""At which of the output's time steps the steps of a slower branch (SlowFast) count."""

from __future__ import annotations

from handlers.relevance.operations.frame_selection import FrameSelection
from handlers.relevance.operations.reshaping import Slice
from handlers.relevance.program.graph import Graph
from handlers.relevance.program.receptive_field import lengths


def branch_rows(graph: Graph, value: int, frames: int, steps: int, rows: int) -> tuple[int, ...]:
    """The rows, of so many, of a branch's `steps` features: the frames that it samples, or every r-th.

    value: the branch's features. frames: of the clip. Rows are those of the branch that sees all frames.
    """
    if steps == rows:
        return tuple(range(rows))
    key = ("branch rows", value, frames, steps, rows)
    found: tuple[int, ...] | None = graph.derived.get(key)
    if found is None:
        found = _sampled(graph, value, frames, steps, rows) or tuple(range(0, rows, rows // steps))
        graph.derived[key] = found
    return found


def _sampled(graph: Graph, value: int, frames: int, steps: int, rows: int) -> tuple[int, ...]:
    """The positions that the branch takes out of as many as there are rows; empty where it takes none out."""
    above = {value}
    known = lengths(graph, value, frames)
    for step in reversed(graph.steps):
        if step.number not in above or not step.carries:
            continue
        above.update(step.operation.signals(step.inputs))
        if known.get(step.inputs[0]) != rows:
            continue
        match step.operation:
            case FrameSelection(module=module):
                taken = tuple(module.positions(rows))
            case Slice():
                taken = tuple(range(rows)[step.operation.time])
            case _:
                continue
        if len(taken) == steps:
            return taken
    return ()
