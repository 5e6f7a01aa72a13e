"""The context of a node's conversion: the graph's constants, the torch network so far, and the node's own arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from handlers.onnx_import.file import OnnxFile
from handlers.onnx_import.shape_inference import Shapes

if TYPE_CHECKING:
    import onnx


class Unconverted(Exception):
    """An operator, or one use of it, that has no torch module here; the message names it and its node."""


class Constants:
    """The tensors of a graph that depend on no clip: weights, Constant nodes, and what is computed of these alone."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._opsets = {entry.domain: entry.version for entry in model.opset_import}
        self._makers: dict[str, onnx.NodeProto] = {}
        for node in model.graph.node:
            if all(part in self for part in node.input if part):
                self._makers.update(dict.fromkeys(node.output, node))
        self._known: dict[str, NDArray[Any]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._weights or name in self._makers

    def __getitem__(self, name: str) -> NDArray[Any]:
        from onnx import numpy_helper
        from onnx.reference import ReferenceEvaluator

        if name not in self._known:
            if name in self._weights:
                self._known[name] = numpy_helper.to_array(self._weights[name])
            else:
                node = self._makers[name]
                found: Any = ReferenceEvaluator(node, opsets=self._opsets).run(
                    None, {part: self[part] for part in node.input if part}
                )
                self._known.update(zip(node.output, found, strict=True))
        return self._known[name]


class PartialNetwork:
    """The torch network as far as it has been made. values: by ONNX name."""

    def __init__(self, file: OnnxFile, constants: Constants, shapes: Shapes, wanted: Sequence[onnx.NodeProto]) -> None:
        self.fx = fx.Graph()
        self.modules: dict[str, Any] = {}
        self.constants = constants
        self.shapes = shapes
        self.readers: dict[str, int] = {}
        for node in wanted:
            for name in node.input:
                self.readers[name] = self.readers.get(name, 0) + 1
        clip = self.fx.placeholder("clip")
        if file.colours != 1:
            others = [0, 2, 3, 4]
            order = [*others[: file.colours], 1, *others[file.colours :]]
            clip = self.fx.call_function(torch.permute, (clip, tuple(order)))
        self.values: dict[str, fx.Node] = {file.input: clip}

    def named(self, wanted: str) -> str:
        """A name for a layer that no other has."""
        plain = re.sub(r"[^\w.]+", "_", wanted).strip("._") or "layer"
        found, number = plain, 1
        while found in self.modules:
            number += 1
            found = f"{plain}_{number}"
        return found


class NodeContext:
    """One node being converted."""

    def __init__(self, network: PartialNetwork, node: onnx.NodeProto) -> None:
        from onnx import helper

        self.network = network
        self.node = node
        self._attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}

    def attribute(self, name: str, default: Any = None) -> Any:
        """The attribute's value; text as str."""
        value = self._attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def has(self, index: int) -> bool:
        """Whether the optional input is given."""
        return index < len(self.node.input) and bool(self.node.input[index])

    def x(self, index: int = 0) -> fx.Node:
        """An input as an activation; a constant as a buffer."""
        name = self.node.input[index]
        if name not in self.network.values:
            if name not in self.network.constants:
                raise self.refused(f"its input {name!r} is not an activation")
            buffer = self.network.named(f"constant_{name}")
            self.network.modules[buffer] = nn.Buffer(torch.from_numpy(np.array(self.network.constants[name])))
            self.network.values[name] = self.network.fx.get_attr(buffer)
        return self.network.values[name]

    def is_constant(self, index: int) -> bool:
        """Whether the input depends on no clip."""
        return self.node.input[index] in self.network.constants

    def constant(self, index: int, default: Any = None) -> Any:
        """The constant input, a NumPy array. Raises Unconverted where it is computed from the clip."""
        if not self.has(index):
            return default
        name = self.node.input[index]
        if name not in self.network.constants:
            raise self.refused(f"its input {name!r} depends on the clip")
        return self.network.constants[name]

    def listed(self, name: str, index: int) -> list[int] | None:
        """Integers that are an attribute in older files and an input in newer ones; None where neither is given."""
        value = self.attribute(name)
        if value is None:
            value = self.constant(index)
        return None if value is None else [int(number) for number in np.atleast_1d(value)]

    def weight(self, index: int) -> Tensor:
        """A constant input as a tensor of its own."""
        return torch.from_numpy(np.array(self.constant(index), np.float32))

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """The shape of an input; its first axis that of a batch of two. Raises Unconverted where it is not known."""
        return self._shaped(self.node.input[index])[0]

    def out_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of the output for a batch of two and of three. Raises Unconverted as above."""
        return self._shaped(self.node.output[0])

    def _shaped(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if name in self.network.constants:
            return (tuple(self.network.constants[name].shape),) * 2
        if name not in self.network.shapes:
            raise self.refused(f"the shape of {name!r} is not known before it runs")
        return self.network.shapes[name]

    def layer(self, module: nn.Module, x: fx.Node | None = None, weight: int | None = None) -> fx.Node:
        """Call a new module. weight: the input that the layer is called after."""
        name = self.node.name or self.node.op_type
        if weight is not None:
            own = self.node.input[weight]
            name = own.removesuffix(".weight") if own.endswith(".weight") else name
        name = self.network.named(name)
        self.network.modules[name] = module
        return self.give(self.network.fx.call_module(name, (self.x() if x is None else x,)))

    def function(self, target: Any, *arguments: Any, **keywords: Any) -> fx.Node:
        """Call a torch function."""
        return self.give(self.network.fx.call_function(target, arguments, keywords))

    def give(self, value: fx.Node, output: int = 0) -> fx.Node:
        """The value is an output of the node."""
        self.network.values[self.node.output[output]] = value
        return value

    def module_of(self, value: fx.Node) -> nn.Module | None:
        """The layer that made a value which nothing else reads; None where there is none."""
        name = next((key for key, made in self.network.values.items() if made is value), "")
        alone = self.network.readers.get(name, 0) == 1
        module = self.network.modules.get(str(value.target)) if value.op == "call_module" and alone else None
        return module if isinstance(module, nn.Module) else None

    def refused(self, why: str) -> Unconverted:
        """The error that this use of the operator has no torch form."""
        return Unconverted(f"operator {self.node.op_type} (at {self.node.name or self.node.output[0]}): {why}")
