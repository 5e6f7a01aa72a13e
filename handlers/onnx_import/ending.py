"""Finds the softmax or sigmoid that a graph's scores come out of, wherever it stands, and where the logits are.

Behind it there may be what only arranges or averages: exporters write a Cast, a Flatten or a pooling behind it, and
some write the softmax itself as Exp, ReduceSum and Div.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actionlens.card import Scores

if TYPE_CHECKING:
    import onnx

_ARRANGING = {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Dropout", "Clip", "Slice"}
_ARRANGING |= {"Gather", "CastLike"}
_AVERAGING = {"AveragePool", "GlobalAveragePool", "ReduceMean"}
_OF_SCORES = {"Clip", "Log", "Exp"}
"""Operators behind a softmax that are for probabilities alone: logits go past them."""


@dataclass(frozen=True)
class Ending:
    """kind: of scores that the graph puts out. logits: name of the value that they are made of.
    behind: nodes between these and the output that logits take too, the last first. averages: whether one of them does.
    said: the operator, for people.
    """

    kind: Scores
    logits: str
    behind: tuple[onnx.NodeProto, ...]
    averages: bool
    said: str


def find_ending(graph: onnx.GraphProto, output: str) -> Ending | None:
    """How the output is made of logits; None where no softmax or sigmoid stands at its end."""
    makers = {name: node for node in graph.node for name in node.output}
    behind: list[onnx.NodeProto] = []
    name, logarithms = output, 0
    while (node := makers.get(name)) is not None:
        found = _softmax(node, makers)
        if found is not None:
            logits, log, said = found
            kind = _kind(logarithms + log)
            if kind is None:
                return None
            averages = any(each.op_type in _AVERAGING for each in behind)
            return Ending(kind, _uncast(logits, makers), tuple(behind), averages, said)
        if node.op_type == "Sigmoid" and not logarithms:
            averages = any(each.op_type in _AVERAGING for each in behind)
            return Ending(Scores.SIGMOID, _uncast(node.input[0], makers), tuple(behind), averages, "Sigmoid")
        if node.op_type in _OF_SCORES:
            logarithms += {"Log": 1, "Exp": -1}.get(node.op_type, 0)
        elif node.op_type in _ARRANGING | _AVERAGING:
            behind.append(node)
        else:
            return None
        name = node.input[0]
    return None


def without_ending(model: onnx.ModelProto, ending: Ending) -> tuple[onnx.ModelProto, str]:
    """The graph past the softmax, and its output: the nodes behind it once more, on the logits."""
    changed = type(model)()
    changed.CopyFrom(model)
    name = ending.logits
    for index, node in enumerate(reversed(ending.behind)):
        copy = changed.graph.node.add()
        copy.CopyFrom(node)
        copy.name = f"{node.name or node.op_type}/of_logits"
        copy.input[0], copy.output[0] = name, f"logits/{index}"
        del copy.output[1:]
        name = copy.output[0]
    return changed, name


def with_logarithm(model: onnx.ModelProto, output: str, scale: float = 1.0) -> tuple[onnx.ModelProto, str]:
    """The graph with the logarithm of its probabilities for logits: their softmax is the probabilities.

    scale: what the probabilities sum to.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    changed = type(model)()
    changed.CopyFrom(model)
    graph = changed.graph
    least = np.float32(np.finfo(np.float32).tiny * scale)
    graph.initializer.append(numpy_helper.from_array(np.array(least), "log/least"))
    graph.node.append(helper.make_node("Cast", [output], ["log/single"], name="log/single", to=TensorProto.FLOAT))
    # A sum, since the smallest operators (Clip, Max) differ between versions of the standard.
    graph.node.append(helper.make_node("Add", ["log/single", "log/least"], ["log/positive"], name="log/positive"))
    graph.node.append(helper.make_node("Log", ["log/positive"], ["log/scores"], name="log/scores"))
    return changed, "log/scores"


def _kind(logarithms: int) -> Scores | None:
    return {0: Scores.PROBABILITIES, 1: Scores.LOG_PROBABILITIES}.get(logarithms)


def _softmax(node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> tuple[str, int, str] | None:
    """(name of the logits, logarithms taken, what it is called) where a node puts out a softmax, whole or in pieces."""
    if node.op_type in ("Softmax", "LogSoftmax"):
        return node.input[0], int(node.op_type == "LogSoftmax"), node.op_type
    if node.op_type in ("Div", "Mul"):
        return _quotient(node, makers)
    if node.op_type == "Sub":
        return _difference(node, makers)
    return None


def _quotient(node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> tuple[str, int, str] | None:
    """exp(x) / sum(exp(x)), or times the reciprocal of the sum."""
    for powers, total in ((node.input[0], node.input[1]), (node.input[1], node.input[0])):
        if node.op_type == "Div" and total == node.input[0]:
            continue
        divisor = _maker(total, makers)
        if node.op_type == "Mul":
            if divisor is None or divisor.op_type != "Reciprocal":
                continue
            divisor = _maker(divisor.input[0], makers)
        made = _maker(powers, makers)
        if made is None or made.op_type != "Exp" or divisor is None or divisor.op_type != "ReduceSum":
            continue
        if _maker(divisor.input[0], makers) is made:
            return _unshifted(made.input[0], makers), 0, "softmax (Exp, ReduceSum, Div)"
    return None


def _difference(node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> tuple[str, int, str] | None:
    """x - log(sum(exp(x)))."""
    first, second = node.input[0], _maker(node.input[1], makers)
    if second is None:
        return None
    if second.op_type == "ReduceLogSumExp" and second.input[0] == first:
        return _unshifted(first, makers), 1, "log-softmax (ReduceLogSumExp, Sub)"
    if second.op_type != "Log":
        return None
    total = _maker(second.input[0], makers)
    powers = None if total is None or total.op_type != "ReduceSum" else _maker(total.input[0], makers)
    if powers is None or powers.op_type != "Exp" or powers.input[0] != first:
        return None
    return _unshifted(first, makers), 1, "log-softmax (Exp, ReduceSum, Log, Sub)"


def _unshifted(name: str, makers: dict[str, onnx.NodeProto]) -> str:
    """The logits of which the largest was subtracted first."""
    node = makers.get(name)
    if node is not None and node.op_type == "Sub":
        largest = _maker(node.input[1], makers)
        if largest is not None and largest.op_type == "ReduceMax" and largest.input[0] == node.input[0]:
            return str(node.input[0])
    return name


def _uncast(name: str, makers: dict[str, onnx.NodeProto]) -> str:
    """A value before it was cast for the softmax alone, as to double precision."""
    while (node := makers.get(name)) is not None and node.op_type == "Cast":
        name = node.input[0]
    return name


def _maker(name: str, makers: dict[str, onnx.NodeProto]) -> onnx.NodeProto | None:
    """The node that makes a value, past what only arranges it."""
    while (node := makers.get(name)) is not None and node.op_type in ("Identity", "Cast", "Expand", "Unsqueeze"):
        name = node.input[0]
    return node


def sorted_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto] | None:
    """The nodes in an order in which every value is made before it is read; None where they are so, or cannot be.

    Converters append nodes (casts to half precision) without regard for the order; onnxruntime takes them all the same.
    """
    nodes = list(graph.node)
    made = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    needs = [{made[name] for name in _read_by(node) if name in made} for node in nodes]
    if all(max(need, default=-1) < index for index, need in enumerate(needs)):
        return None
    order, waiting = list[int](), dict.fromkeys(range(len(nodes)))
    done = set[int]()
    while waiting:
        ready = [index for index in waiting if needs[index] <= done]
        if not ready:
            return None
        for index in ready:
            del waiting[index]
        done.update(ready)
        order += ready
    return [nodes[index] for index in order]


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    """Names of the values that a node reads, those of its subgraphs among them."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _read_by(inner)
