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
from handlers.onnx_import.node_context import NodeContext
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


def _each(target: Callable[..., Any], **attributes: tuple[str, Any]) -> Callable[[NodeContext], None]:
    """A function of one activation. attributes: by torch's name, the ONNX name and its default."""

    def convert(context: NodeContext) -> None:
        keywords = {name: context.attribute(theirs, default) for name, (theirs, default) in attributes.items()}
        context.function(target, context.x(), **keywords)

    return convert


def _power(context: NodeContext) -> None:
    exponent = context.constant(1)
    context.function(torch.pow, context.x(), float(exponent) if exponent.size == 1 else context.x(1))


def _layer_norm(context: NodeContext) -> None:
    axis = context.attribute("axis", -1)
    shape = context.shape()[axis:]
    bias = context.x(2) if context.has(2) else None
    context.function(F.layer_norm, context.x(), shape, context.x(1), bias, context.attribute("epsilon", 1e-5))


OPERATORS: dict[str, Callable[[NodeContext], None]] = {
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
