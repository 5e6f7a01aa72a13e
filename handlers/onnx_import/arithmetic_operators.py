"""Sums, products and quotients of two activations, or of one and a constant."""

from __future__ import annotations

import operator

import numpy as np
import torch
from torch import Tensor, fx, nn

from handlers.onnx_import.layer_operators import NORMS
from handlers.onnx_import.node_context import NodeContext


def add(context: NodeContext) -> None:
    """Add: a constant becomes the bias of the layer before it, or a shift per channel."""
    constant, x = _parts(context)
    if constant is None:
        context.function(torch.add, context.x(), context.x(1))
    elif not _as_bias(context, x, constant):
        _affine(context, x, None, constant, torch.add)


def subtract(context: NodeContext) -> None:
    """Sub, the same."""
    constant, x = _parts(context)
    if constant is None or context.is_constant(0):
        context.function(torch.sub, context.x(), context.x(1))
    else:
        _affine(context, x, None, -constant, torch.sub)


def multiply(context: NodeContext) -> None:
    """Mul: a constant is a factor, for all or per channel."""
    constant, x = _parts(context)
    if constant is None:
        context.function(operator.mul, context.x(), context.x(1))
    elif constant.numel() == 1 and constant.dim() <= x_rank(context):
        context.function(operator.mul, x, float(constant))
    else:
        _affine(context, x, constant, None, torch.mul)


def divide(context: NodeContext) -> None:
    """Div, the same."""
    constant, x = _parts(context)
    if constant is None or context.is_constant(0):
        context.function(torch.div, context.x(), context.x(1))
    elif constant.numel() == 1 and constant.dim() <= x_rank(context):
        context.function(torch.div, x, float(constant))
    else:
        _affine(context, x, 1 / constant, None, torch.div)


def x_rank(context: NodeContext) -> int:
    """How many axes the activation has."""
    return len(context.shape(1 if context.is_constant(0) else 0))


def _parts(context: NodeContext) -> tuple[Tensor | None, fx.Node]:
    """The constant, if one of the two is, and the other."""
    for index in (0, 1):
        if context.is_constant(index):
            return torch.from_numpy(np.array(context.constant(index), np.float32)), context.x(1 - index)
    return None, context.x()


def _as_bias(context: NodeContext, x: fx.Node, constant: Tensor) -> bool:
    """Make the constant the bias of the layer that nobody else reads; whether there is one that it fits."""
    layer = context.module_of(x)
    if not isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv3d):
        return False
    channels = layer.weight.shape[0]
    wanted = (channels,) if isinstance(layer, nn.Linear) else (channels, *[1] * (layer.weight.dim() - 2))
    shape = tuple(constant.shape)
    while len(shape) > len(wanted) and shape[0] == 1:
        shape = shape[1:]
    if shape != wanted:
        return False
    bias = constant.reshape(channels) + (0 if layer.bias is None else layer.bias.detach())
    layer.bias = nn.Parameter(bias)
    context.give(x)
    return True


def _affine(context: NodeContext, x: fx.Node, scale: Tensor | None, shift: Tensor | None, otherwise: object) -> None:
    """A scale or a shift per channel as a norm that relevance knows; any other constant by the function itself."""
    shape = context.shape(1 if context.is_constant(0) else 0)
    rank = len(shape)
    given = scale if scale is not None else shift
    assert given is not None
    full = given.reshape([1] * (rank - given.dim()) + list(given.shape)) if given.dim() <= rank else given
    per_channel = full.dim() == rank and full.numel() == full.shape[1]
    if not per_channel or rank not in NORMS:
        context.function(otherwise, context.x(), context.x(1))
        return
    channels = shape[1]
    module = NORMS[rank](channels, eps=0.0)
    values = full.flatten().expand(channels).clone()
    module.weight = nn.Parameter(values if scale is not None else torch.ones(channels))
    module.bias = nn.Parameter(values if shift is not None else torch.zeros(channels))
    context.layer(module, x)
