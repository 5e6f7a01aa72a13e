"""The table of operators: what each node becomes in torch. Those that relevance has rules for come as modules."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from handlers.onnx_import.arithmetic_operators import add, divide, multiply, subtract
from handlers.onnx_import.layer_operators import (
    average_pool,
    batch_norm,
    clip,
    convolution,
    gemm,
    global_average_pool,
    matmul,
    max_pool,
    relu,
    sigmoid,
)
from handlers.onnx_import.node_context import Call
from handlers.onnx_import.shape_operators import (
    concatenate,
    flatten,
    gather,
    pad,
    reduced,
    reshape,
    same,
    sliced,
    split,
    squeeze,
    transpose,
    unsqueeze,
)


def _each(target: Callable[..., Any], **attributes: tuple[str, Any]) -> Callable[[Call], None]:
    """A function of one activation. attributes: by torch's name, the ONNX name and its default."""

    def convert(call: Call) -> None:
        keywords = {name: call.attribute(theirs, default) for name, (theirs, default) in attributes.items()}
        call.function(target, call.x(), **keywords)

    return convert


def _power(call: Call) -> None:
    call.function(torch.pow, call.x(), float(call.constant(1)) if call.constant(1).size == 1 else call.x(1))


def _layer_norm(call: Call) -> None:
    axis = call.attribute("axis", -1)
    shape = call.shape()[axis:]
    bias = call.x(2) if call.has(2) else None
    call.function(F.layer_norm, call.x(), shape, call.x(1), bias, call.attribute("epsilon", 1e-5))


OPERATORS: dict[str, Callable[[Call], None]] = {
    "Abs": _each(torch.abs),
    "Add": add,
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Cast": same,
    "Clip": clip,
    "Concat": concatenate,
    "Conv": convolution,
    "Div": divide,
    "Dropout": same,
    "Elu": _each(F.elu, alpha=("alpha", 1.0)),
    "Erf": _each(torch.erf),
    "Exp": _each(torch.exp),
    "Flatten": flatten,
    "Gather": gather,
    "Gelu": _each(F.gelu, approximate=("approximate", "none")),
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "HardSwish": _each(F.hardswish),
    "Identity": same,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _each(F.leaky_relu, negative_slope=("alpha", 0.01)),
    "Log": _each(torch.log),
    "MatMul": matmul,
    "MaxPool": max_pool,
    "Mul": multiply,
    "Neg": _each(operator.neg),
    "Pad": pad,
    "Pow": _power,
    "ReduceMax": reduced(torch.amax),
    "ReduceMean": reduced(torch.mean),
    "ReduceSum": reduced(torch.sum),
    "Relu": relu,
    "Reshape": reshape,
    "Sigmoid": sigmoid,
    "Slice": sliced,
    "Softmax": _each(torch.softmax, dim=("axis", -1)),
    "Softplus": _each(F.softplus),
    "Split": split,
    "Sqrt": _each(torch.sqrt),
    "Squeeze": squeeze,
    "Sub": subtract,
    "Tanh": _each(torch.tanh),
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}

FIRST_ONLY = {"Clip", "Gather", "Pad", "ReduceMax", "ReduceMean", "ReduceSum", "Reshape", "Slice", "Split"} | {
    "Squeeze",
    "Unsqueeze",
    "Dropout",
}
"""Operators whose further inputs say how, and are no activations."""
