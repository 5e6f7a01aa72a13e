"""Where in the clip the time steps of a layer lie."""

from __future__ import annotations

from handlers.relevance.operations.base import Operation
from handlers.relevance.operations.frame_selection import FrameSelection
from handlers.relevance.operations.reshaping import Pad, Slice
from handlers.relevance.program.graph import Graph, Step

Windows = list[tuple[float, float]]
"""First and last position that each step of a layer sees."""


def frame_centres(graph: Graph, layer: str, frames: int, steps: int) -> tuple[float, ...]:
    """The input frame at the centre of what each of a layer's `steps` time steps sees, within 0 .. frames - 1.

    What a step sees reaches as far as any branch that carries relevance to it. Raises UnknownLayer.
    """
    top = graph.value_of(layer)
    of_value = lengths(graph, top, frames)
    of_value[top] = steps
    seen: dict[int, Windows] = {top: [(float(i), float(i)) for i in range(steps)]}
    for step in reversed(graph.steps):
        if step.number in seen:
            for value in step.operation.signals(step.inputs):
                if value not in of_value:
                    continue
                found = [_below(step, window, of_value[value], of_value[step.number]) for window in seen[step.number]]
                old = seen.get(value, found)
                seen[value] = [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(found, old, strict=True)]
    middle = (frames - 1) / 2
    windows = seen.get(0, [(middle, middle)] * steps)
    return tuple(min(max((first + last) / 2, 0.0), frames - 1.0) for first, last in windows)


def lengths(graph: Graph, top: int, frames: int) -> dict[int, int]:
    """Time steps of every value up to `top`, as far as it has any."""
    found = {0: frames}
    for step in graph.steps:
        if step.number > top:
            break
        if step.carries and step.inputs[0] in found:
            found[step.number] = _length(step.operation, found[step.inputs[0]])
    return found


def _length(operation: Operation, length: int) -> int:
    if isinstance(operation, Slice):
        return len(range(length)[operation.time])
    if isinstance(operation, Pad):
        front, back = operation.around(length)
        return front + length + back
    if isinstance(operation, FrameSelection):
        return len(operation.module.positions(length))
    kernel, stride = operation.time_kernel
    if operation.keeps_time or kernel == 0:
        return length
    return (length + 2 * operation.time_padding - kernel) // stride + 1


def _below(step: Step, window: tuple[float, float], length: int, outputs: int) -> tuple[float, float]:
    """The window of an operation's input of `length` steps that a window of its output, of so many steps, sees."""
    operation, (first, last) = step.operation, window
    if isinstance(operation, Slice):
        start, stride = operation.span(length)
        return start + stride * first, start + stride * last
    if isinstance(operation, Pad):
        front = operation.around(length)[0]
        return first - front, last - front
    if isinstance(operation, FrameSelection):
        # Beyond the clip's ends, where padding lies, positions go on at the mean distance.
        taken = operation.module.positions(length)
        ends = [
            taken[int(min(max(p, 0), len(taken) - 1))] + min(p, 0) * every + max(p - len(taken) + 1, 0) * every
            for every in [operation.module.every]
            for p in window
        ]
        return ends[0], ends[1]
    if operation.keeps_time:
        return window
    kernel, stride = operation.time_kernel
    if kernel == 0:  # equal parts, as adaptive pooling has them
        return first * length / outputs, (last + 1) * length / outputs - 1
    return first * stride - operation.time_padding, last * stride - operation.time_padding + kernel - 1
