"""From an ONNX graph to a torch module, node by node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import fx

from handlers.onnx_import.file import OnnxFile
from handlers.onnx_import.node_context import Constants, NodeContext, PartialNetwork, Unconverted
from handlers.onnx_import.operator_table import FIRST_ONLY, OPERATORS
from handlers.onnx_import.shape_inference import inferred

if TYPE_CHECKING:
    import onnx


def convert(file: OnnxFile, size: tuple[int, int, int]) -> fx.GraphModule:
    """The file's network for clips [B, 3, T, H, W] of that size (T, H, W), any B.

    Layers are called as the weights in the file are ("layer1.0.conv1"), else as its nodes. Raises Unconverted.
    """
    constants = Constants(file.model)
    wanted = _needed(file, constants)
    unknown = {node.op_type: node.name or node.output[0] for node in wanted if node.op_type not in OPERATORS}
    if unknown:
        named = ", ".join(f"{kind} (at {node_name})" for kind, node_name in unknown.items())
        raise Unconverted(f"operators without a torch form: {named}")
    network = PartialNetwork(file, constants, inferred(file, size), wanted)
    for node in wanted:
        OPERATORS[node.op_type](NodeContext(network, node))
    network.fx.output(network.values[file.output])
    network.fx.lint()
    made = fx.GraphModule(network.modules, network.fx)
    made.requires_grad_(False)
    return made


def _needed(file: OnnxFile, constants: Constants) -> list[onnx.NodeProto]:
    """The nodes that the logits come from by way of activations, in the file's order."""
    makers = {name: node for node in file.model.graph.node for name in node.output}
    names, waiting = set[str](), [file.output]
    while waiting:
        node = makers.get(name := waiting.pop())
        if node is None or name in names or name in constants:
            continue
        names.update(node.output)
        waiting += node.input[:1] if node.op_type in FIRST_ONLY else [value for value in node.input if value]
    return [node for node in file.model.graph.node if names.intersection(node.output)]
