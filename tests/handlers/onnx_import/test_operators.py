"""Every operator that converts, beside onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx.helper import make_node

from handlers.onnx_import.convert import convert
from handlers.onnx_import.file import read_onnx
from handlers.onnx_import.module import checked
from handlers.onnx_import.node_context import Unconverted
from handlers.onnx_import.operator_table import OPERATORS
from tests.handlers import onnx_files
from tests.handlers.onnx_files import SIZE, weight

Nodes = list[onnx.NodeProto]
Weights = dict[str, NDArray[Any]]

INTS = {name: np.array(value) for name, value in {"0": [0], "1": [1], "2": [2], "-1": [-1], "9": [2**62]}.items()}


def chain(*steps: tuple[str, list[str], dict[str, Any]]) -> Nodes:
    """Nodes one behind the other from "features" to "y"; "x" among a step's inputs is what came before."""
    nodes, before = [], "features"
    for number, (kind, inputs, attributes) in enumerate(steps):
        after = "y" if number == len(steps) - 1 else f"y{number}"
        nodes.append(make_node(kind, [before if name == "x" else name for name in inputs], [after], **attributes))
        before = after
    return nodes


def one(kind: str, *inputs: str, **attributes: Any) -> Nodes:
    return chain((kind, ["x", *inputs], attributes))


# Each from [B, 5, 4, 12, 16], not negative, to 5 channels again.
BODIES: dict[str, Nodes] = {
    "Abs": one("Abs"),
    "Add": one("Add", "features"),
    "Add, per channel": one("Add", "channels"),
    "Add, one number": one("Add", "number"),
    "AveragePool": one("AveragePool", kernel_shape=[2, 3, 3], strides=[1, 2, 2], pads=[0, 1, 1, 0, 1, 1]),
    "AveragePool, counted, uneven": one(
        "AveragePool", kernel_shape=[2, 2, 2], pads=[0, 0, 0, 1, 1, 1], count_include_pad=1
    ),
    "BatchNormalization": one("BatchNormalization", "channels1", "channels1", "channels1", "positive", epsilon=1e-3),
    "Cast": one("Cast", to=1),
    "Clip": one("Clip", "number", "big"),
    "Clip, from 0": chain(("Sub", ["x", "number"], {}), ("Clip", ["x", "nought"], {})),
    "Concat and Split": [
        make_node("Concat", ["features", "features"], ["double"], axis=1),
        make_node("Split", ["double", "split"], ["a", "b", "c"], axis=1),
        make_node("Add", ["b", "features"], ["y"]),
    ],
    "Conv, grouped": one("Conv", "grouped", group=5, pads=[1, 0, 0, 1, 0, 0]),
    "Conv, uneven": one("Conv", "even", pads=[0, 0, 0, 1, 1, 1], strides=[1, 2, 2]),
    "Conv, same": one("Conv", "even", auto_pad="SAME_UPPER", strides=[2, 2, 2]),
    "Conv, then a constant": chain(("Conv", ["x", "even"], {}), ("Add", ["x", "channels"], {})),
    "Conv over two axes": chain(
        ("Transpose", ["x"], {"perm": [0, 2, 1, 3, 4]}),
        ("Reshape", ["x", "folded"], {}),
        ("Conv", ["x", "kernel"], {}),
        ("Reshape", ["x", "unfolded"], {}),
        ("Transpose", ["x"], {"perm": [0, 2, 1, 3, 4]}),
    ),
    "Div": one("Div", "channels"),
    "Div by one number": one("Div", "number"),
    "Dropout": one("Dropout"),
    "Elu": one("Elu", alpha=0.5),
    "Erf": one("Erf"),
    "Exp and Log": chain(("Exp", ["x"], {}), ("Log", ["x"], {})),
    "Gather": one("Gather", "order", axis=1),
    "Gelu": one("Gelu"),
    "HardSwish": one("HardSwish"),
    "Identity": one("Identity"),
    "LayerNormalization": one("LayerNormalization", "wide", axis=-1),
    "LeakyRelu": chain(("Sub", ["x", "number"], {}), ("LeakyRelu", ["x"], {"alpha": 0.2})),
    "MatMul": chain(
        ("Transpose", ["x"], {"perm": [0, 2, 3, 4, 1]}),
        ("MatMul", ["x", "matrix"], {}),
        ("Add", ["x", "channels1"], {}),
        ("Transpose", ["x"], {"perm": [0, 4, 1, 2, 3]}),
    ),
    "MaxPool": one("MaxPool", kernel_shape=[1, 3, 3], strides=[1, 2, 2], pads=[0, 1, 1, 0, 1, 1], ceil_mode=1),
    "MaxPool, uneven": one("MaxPool", kernel_shape=[2, 2, 2], pads=[0, 0, 0, 1, 1, 1]),
    "MaxPool, uneven, of any sign": chain(
        ("Sub", ["x", "big"], {}), ("MaxPool", ["x"], {"kernel_shape": [2, 2, 2], "pads": [0, 0, 0, 1, 1, 1]})
    ),
    "Mul": one("Mul", "channels"),
    "Mul by one number": one("Mul", "number"),
    "Mul, a gate": [
        make_node("Conv", ["features", "even"], ["set"], auto_pad="SAME_LOWER"),
        make_node("Sigmoid", ["set"], ["gate"]),
        make_node("Mul", ["gate", "features"], ["y"]),
    ],
    "Neg": one("Neg"),
    "Pad": one("Pad", "pads"),
    "Pow": one("Pow", "two"),
    "ReduceMax": one("ReduceMax", "2", keepdims=1),
    "ReduceMean": one("ReduceMean", "2", keepdims=1),
    "ReduceSum": one("ReduceSum", "2", keepdims=1),
    "Sigmoid": one("Sigmoid"),
    "Slice": one("Slice", "1", "9", "2", "2"),
    "Softmax": one("Softmax", axis=1),
    "Softplus": one("Softplus"),
    "Sqrt": one("Sqrt"),
    "Squeeze and Unsqueeze": chain(("Unsqueeze", ["x", "2"], {}), ("Squeeze", ["x", "2"], {})),
    "Sub": one("Sub", "channels"),
    "Sub from a constant": [make_node("Sub", ["channels", "features"], ["y"])],
    "Tanh": one("Tanh"),
}

WEIGHTS: Weights = INTS | {
    "channels": weight(5, 1, 1, 1, seed=4),
    "channels1": weight(5, seed=5),
    "positive": np.abs(weight(5, seed=6)) + 0.1,
    "number": np.array(0.3, np.float32),
    "nought": np.array(0.0, np.float32),
    "big": np.array(1.5, np.float32),
    "two": np.array(2.0, np.float32),
    "wide": weight(16, seed=7),
    "matrix": weight(5, 5, seed=8),
    "grouped": weight(5, 1, 3, 1, 1, seed=9),
    "even": weight(5, 5, 2, 2, 2, seed=10),
    "kernel": weight(5, 5, 1, 1, seed=11),
    "split": np.array([1, 5, 4]),
    "order": np.array([4, 3, 2, 1, 0]),
    "folded": np.array([-1, 5, 12, 16]),
    "unfolded": np.array([-1, 4, 5, 12, 16]),
    "pads": np.array([0, 0, 0, 1, 2, 0, 0, 1, 0, 1]),
}


def written(path: Path, body: Nodes) -> Path:
    nodes, weights = onnx_files.network(*body, last="y")
    used = {name for node in body for name in node.input}
    own = {name: value for name, value in WEIGHTS.items() if name in used}
    return onnx_files.write(path / "model.onnx", nodes, weights | own)


@pytest.mark.parametrize("name", BODIES)
def test_a_converted_operator_computes_what_onnxruntime_does(tmp_path: Path, name: str) -> None:
    file = read_onnx(written(tmp_path, BODIES[name]))
    made = convert(file, SIZE).eval()
    assert checked(file, made, SIZE) == 3  # compares their logits
    assert "Linear" in {type(part).__name__ for part in made.modules()}


def test_every_operator_of_the_table_is_tried() -> None:
    nodes, _ = onnx_files.network()
    seen = {node.op_type for body in [*BODIES.values(), nodes] for node in body}
    # As ReduceMean at the end of a network, and what stands for Reshape there.
    assert set(OPERATORS) - seen == {"Flatten"}


def test_flatten_and_a_matrix_product_make_a_head(tmp_path: Path) -> None:
    nodes, weights = onnx_files.network()
    nodes[3:] = [
        make_node("Flatten", ["pooled"], ["vector"]),
        make_node("MatMul", ["vector", "matrix"], ["product"], name="head"),
        make_node("Add", ["product", "head.bias"], ["logits"]),
    ]
    weights["matrix"] = weights["head.weight"].T.copy()
    file = read_onnx(onnx_files.write(tmp_path / "m.onnx", nodes, weights))
    made = convert(file, SIZE).eval()
    assert checked(file, made, SIZE) == 3
    layer = made.get_submodule("head")
    assert isinstance(layer, torch.nn.Linear)
    np.testing.assert_allclose(layer.bias.detach(), weights["head.bias"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (one("LRN", size=3), r"operators without a torch form: LRN"),
        (one("Pad", "pads", mode="reflect"), "Pad .*: with mode reflect"),
        (one("Slice", "9", "0", "2", "-1"), "Slice .*: backwards"),
        (one("Cast", to=10), "Cast .*: to another type than float32"),
    ],
    ids=["unknown", "mode", "backwards", "float16"],
)
def test_what_does_not_convert_is_named(tmp_path: Path, body: Nodes, message: str) -> None:
    with pytest.raises(Unconverted, match=message):
        convert(read_onnx(written(tmp_path, body)), SIZE)
