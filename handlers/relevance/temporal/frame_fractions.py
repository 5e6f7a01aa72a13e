"""Upwards: which part of every unit's relevance will end in which frame, before any class is known.

f_j(u) is the fraction of unit u's relevance that ends in frame j. It obeys the transposed rules, so it is carried
from the clip upwards once and serves every class, contrast and row. What is stored is x * f_j, the
Jacobian-vector product of the operator of which relevance is the vector-Jacobian product.
"""

from __future__ import annotations

from handlers.interruption import check
from handlers.relevance.operations.base import AS_TRACED, Manner, Portion
from handlers.relevance.program.forward_pass import ForwardPass
from handlers.relevance.program.graph import Graph, Step


def crossing(graph: Graph, cut: int, needed: set[int]) -> set[int]:
    """Values that steps above the cut read from below it."""
    return {
        v
        for step in graph.steps
        if step.number > cut and step.number in needed
        for v in step.operation.signals(step.inputs)
        if v <= cut
    }


def ancestors(graph: Graph, values: set[int]) -> set[int]:
    """The values and all that they depend on."""
    found = set(values)
    for step in reversed(graph.steps):
        if step.number in found and step.carries:
            found.update(step.operation.signals(step.inputs))
    return found


def ascend(
    forward: ForwardPass, item: int, cut: int, wanted: set[int], frames: tuple[int, ...], manner: Manner = AS_TRACED
) -> dict[int, Portion]:
    """The portions of some frames at the wanted values (all numbered `cut` or below).

    manner: how the explanation is computed.
    """
    needed = ancestors(forward.graph, wanted)
    steps: list[Step] = [s for s in forward.graph.steps if s.number <= cut and s.number in needed and s.carries]
    last = {value: step.number for step in steps for value in step.inputs}
    found: dict[int, Portion] = {0: Portion(frames)}
    for step in steps:
        check()
        tensors = [value for value in step.operation.signals(step.inputs) if value in found]
        site = forward.site(step, item, manner)
        found[step.number] = step.operation.portions([found[v] for v in tensors], site)
        for value in set(tensors):
            if last[value] == step.number and value not in wanted:
                del found[value]
    return {value: found[value] for value in wanted}


def gives_all(forward: ForwardPass, item: int, cut: int, wanted: set[int], manner: Manner) -> bool:
    """Whether the portions of all frames add up to the wanted values themselves. What it derives, `ascend` reads."""
    needed = ancestors(forward.graph, wanted)
    below = [s for s in forward.graph.steps if s.number <= cut and s.number in needed and s.carries]
    return all(step.operation.gives_all(forward.site(step, item, manner)) for step in below)
