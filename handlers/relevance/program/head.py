"""How logits arise from frames: averaging over time and space, and one linear layer, in either order.

The average commutes with the linear layer, so every output time step i has logits of its own, l_i = W mean_hw f_i + b,
and the model's logits are their mean, also in models that pool over time before the classifier.
"""

from __future__ import annotations

from dataclasses import dataclass

from handlers.relevance.operations.average_pool import AdaptiveAveragePool, AveragePool, Mean
from handlers.relevance.operations.reshaping import Concatenate, Identity, Permute, Reshape
from handlers.relevance.operations.weighted import Weighted
from handlers.relevance.program.graph import Graph, Step

_AVERAGES = (Mean, AveragePool, AdaptiveAveragePool)
_MOVES = (Identity, Reshape, Permute)


@dataclass(frozen=True)
class Head:
    """The end of a model. reason: why there are no logits per frame; empty where there are.

    classifier: the last layer with weights. values: the features [B, C, T', H', W'] that it averages, one per
    branch, in the order of its input channels.
    """

    reason: str
    classifier: Step | None
    values: tuple[int, ...] = ()


def find_head(graph: Graph) -> Head:
    """The head of a graph, as far as the structure tells."""
    steps = {step.number: step for step in graph.steps}
    value, averages_after = graph.output, False
    while value in steps and isinstance(steps[value].operation, (*_AVERAGES, *_MOVES)):
        averages_after = averages_after or isinstance(steps[value].operation, _AVERAGES)
        value = steps[value].inputs[0]
    step = steps.get(value)
    if step is None or not isinstance(step.operation, Weighted):
        name = "the clip" if step is None else f"{step.operation.kind} at {step.step_name}"
        return Head(f"the model does not end in a linear layer but in {name}", None)
    layer = step.operation
    geometry = layer.weights.geometry
    if layer.relu:
        return Head(f"the head is not linear: {layer.kind} at {step.step_name}", step)
    if geometry is not None and max(layer.weights.weight.shape[2:]) > 1:
        return Head(f"the classifier at {step.step_name} is a convolution over several positions", step)
    found: list[int] = []
    reason = _branches(steps, step.inputs[0], averages_after, averages_after, found)
    if reason:
        return Head(f"the head is not linear: {reason}, before the classifier at {step.step_name}", step)
    return Head("", step, tuple(found))


def _branches(steps: dict[int, Step], value: int, after: bool, averaged: bool, found: list[int]) -> str:
    """Collect the features that are averaged; returns why there are none."""
    while value in steps:
        operation = steps[value].operation
        if isinstance(operation, _AVERAGES):
            if after and not operation.keeps_time and not _space_only(operation):
                break
            averaged = True
        elif isinstance(operation, Concatenate) and operation.axis == 1:
            reasons = [_branches(steps, branch, after, averaged, found) for branch in steps[value].inputs]
            return next((reason for reason in reasons if reason), "")
        elif not isinstance(operation, _MOVES):
            break
        value = steps[value].inputs[0]
    if not averaged:
        name = steps[value].operation.kind if value in steps else "the clip"
        where = f" at {steps[value].step_name}" if value in steps else ""
        return f"{name}{where} is not averaged"
    found.append(value)
    return ""


def _space_only(operation: object) -> bool:
    return isinstance(operation, Mean) and 2 not in operation.axes
