"""Where in the clip the time steps of a layer lie."""

from __future__ import annotations

from handlers.relevance.graph import Graph
from handlers.relevance.operations.structure import Pad, Slice


def frame_centres(graph: Graph, layer: str, frames: int, steps: int) -> tuple[float, ...]:
    """The input frame at the centre of what each of a layer's `steps` time steps sees, within 0 .. frames - 1.

    Follows the first input of every step back to the clip; along it, output i of a window of kernel k, stride s and
    padding p over time lies at input position i * s - p + (k - 1) / 2. Raises UnknownLayer.
    """
    makers = {step.number: step for step in graph.steps}
    chain = []
    value = graph.value_of(layer)
    while value in makers:
        chain.append(makers[value].operation)
        value = makers[value].inputs[0]
    offset, step, length = 0.0, 1.0, frames
    for operation in reversed(chain):
        if isinstance(operation, Slice):
            first, stride = operation.span(length)
            offset, step, length = offset + step * first, step * stride, -(-(length - first) // stride)
        elif isinstance(operation, Pad):
            offset, length = offset - step * operation.front, length + operation.front
        elif not operation.keeps_time:
            kernel, stride = operation.time_kernel
            if kernel == 0:
                step = frames / steps
                offset, length = (step - 1) / 2, steps
            else:
                padding = operation.time_padding
                offset += step * ((kernel - 1) / 2 - padding)
                step, length = step * stride, (length + 2 * padding - kernel) // stride + 1
    return tuple(min(max(offset + step * index, 0.0), frames - 1.0) for index in range(steps))
