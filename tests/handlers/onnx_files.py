"""Small .onnx files for tests, written node by node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZE = (4, 12, 16)
"""Frames, height, width."""


def write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, NDArray[Any]],
    *,
    dims: Sequence[object] = ("batch", 3, *SIZE),
    output: str = "logits",
    kind: int = TensorProto.FLOAT,
    rank: int = 2,
    **metadata: str,
) -> Path:
    """A graph from "clip" to the output. dims: of the clip; text is an axis of any length. rank: of the output."""
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("clip", kind, dims)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [f"axis{n}" for n in range(rank)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def weight(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def network(*between: onnx.NodeProto, last: str = "features") -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """Convolution, rectifier, `between` (which make `last` of "features"), mean over all, linear layer, as an exporter
    writes them: with a shape that is computed."""
    nodes = [
        helper.make_node("Conv", ["clip", "stem.weight", "stem.bias"], ["x"], name="stem", pads=[1] * 6),
        helper.make_node("Relu", ["x"], ["features"], name="rectified"),
        *between,
        helper.make_node("GlobalAveragePool", [last], ["pooled"], name="pool"),
        helper.make_node("Shape", ["pooled"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "one"], ["batch"]),
        helper.make_node("Concat", ["batch", "minus"], ["flat"], axis=0),
        helper.make_node("Reshape", ["pooled", "flat"], ["vector"], name="flatten"),
        helper.make_node("Gemm", ["vector", "head.weight", "head.bias"], ["logits"], name="head", transB=1),
    ]
    weights: dict[str, NDArray[Any]] = {
        "stem.weight": weight(5, 3, 3, 3, 3),
        "stem.bias": weight(5, seed=1),
        "head.weight": weight(3, 5, seed=2),
        "head.bias": weight(3, seed=3),
        "zero": np.array([0]),
        "one": np.array([1]),
        "minus": np.array([-1]),
    }
    return nodes, weights


def opaque() -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """The same with an operator that has no torch form here."""
    return network(helper.make_node("Shrink", ["features"], ["shrunk"], name="own", lambd=0.1), last="shrunk")
