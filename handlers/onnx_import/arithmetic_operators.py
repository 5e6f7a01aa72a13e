"""Sums, products and quotients of two activations, or of one and a constant."""

from __future__ import annotations

import operator

import numpy as np
import torch
from torch import Tensor, fx, nn

from handlers.onnx_import.layer_operators import NORMS
from handlers.onnx_import.node_context import Call


def add(call: Call) -> None:
    """Add: a constant becomes the bias of the layer before it, or a shift per channel."""
    constant, x = _parts(call)
    if constant is None:
        call.function(torch.add, call.x(), call.x(1))
    elif not _as_bias(call, x, constant):
        _affine(call, x, None, constant, torch.add)


def subtract(call: Call) -> None:
    """Sub, the same."""
    constant, x = _parts(call)
    if constant is None or call.is_constant(0):
        call.function(torch.sub, call.x(), call.x(1))
    else:
        _affine(call, x, None, -constant, torch.sub)


def multiply(call: Call) -> None:
    """Mul: a constant is a factor, for all or per channel."""
    constant, x = _parts(call)
    if constant is None:
        call.function(operator.mul, call.x(), call.x(1))
    elif constant.numel() == 1 and constant.dim() <= x_rank(call):
        call.function(operator.mul, x, float(constant))
    else:
        _affine(call, x, constant, None, torch.mul)


def divide(call: Call) -> None:
    """Div, the same."""
    constant, x = _parts(call)
    if constant is None or call.is_constant(0):
        call.function(torch.div, call.x(), call.x(1))
    elif constant.numel() == 1 and constant.dim() <= x_rank(call):
        call.function(torch.div, x, float(constant))
    else:
        _affine(call, x, 1 / constant, None, torch.div)


def x_rank(call: Call) -> int:
    """How many axes the activation has."""
    return len(call.shape(1 if call.is_constant(0) else 0))


def _parts(call: Call) -> tuple[Tensor | None, fx.Node]:
    """The constant, if one of the two is, and the other."""
    for place in (0, 1):
        if call.is_constant(place):
            return torch.from_numpy(np.array(call.constant(place), np.float32)), call.x(1 - place)
    return None, call.x()


def _as_bias(call: Call, x: fx.Node, constant: Tensor) -> bool:
    """Make the constant the bias of the layer that nobody else reads; whether there is one that it fits."""
    layer = call.module_of(x)
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
    call.give(x)
    return True


def _affine(call: Call, x: fx.Node, scale: Tensor | None, shift: Tensor | None, otherwise: object) -> None:
    """A scale or a shift per channel as a norm that relevance knows; any other constant by the function itself."""
    shape = call.shape(1 if call.is_constant(0) else 0)
    rank = len(shape)
    given = scale if scale is not None else shift
    assert given is not None
    full = given.reshape([1] * (rank - given.dim()) + list(given.shape)) if given.dim() <= rank else given
    per_channel = full.dim() == rank and full.numel() == full.shape[1]
    if not per_channel or rank not in NORMS:
        call.function(otherwise, call.x(), call.x(1))
        return
    channels = shape[1]
    module = NORMS[rank](channels, eps=0.0)
    values = full.flatten().expand(channels).clone()
    module.weight = nn.Parameter(values if scale is not None else torch.ones(channels))
    module.bias = nn.Parameter(values if shift is not None else torch.zeros(channels))
    call.layer(module, x)
