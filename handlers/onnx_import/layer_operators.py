"""Operators that become layers: modules that relevance and Grad-CAM know."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from handlers.onnx_import.node_context import NodeContext

_CONVOLUTIONS: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
NORMS: dict[int, Any] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_MAX_POOLS: dict[int, Any] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_AVERAGE_POOLS: dict[int, Any] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
_GLOBAL_POOLS = {4: nn.AdaptiveAvgPool2d, 5: nn.AdaptiveAvgPool3d}


def convolution(context: NodeContext) -> None:
    """Conv over two or three axes."""
    weight = context.weight(1)
    axes = weight.dim() - 2
    if axes not in _CONVOLUTIONS:
        raise context.refused(f"over {axes} axes; two and three are known")
    x, padding = _padded(context, axes, 0.0)
    groups = context.attribute("group", 1)
    module = _CONVOLUTIONS[axes](
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        _strides(context, axes),
        padding,
        _dilations(context, axes),
        groups,
        bias=context.has(2),
    )
    module.weight = nn.Parameter(weight)
    if context.has(2):
        module.bias = nn.Parameter(context.weight(2))
    context.layer(module, x, weight=1)


def gemm(context: NodeContext) -> None:
    """Gemm by constant weights."""
    if context.attribute("transA", 0):
        raise context.refused("with transA")
    weight = context.weight(1) * context.attribute("alpha", 1.0)
    weight = weight if context.attribute("transB", 0) else weight.T
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=context.has(2))
    module.weight = nn.Parameter(weight.contiguous())
    if context.has(2):
        bias = context.weight(2) * context.attribute("beta", 1.0)
        module.bias = nn.Parameter(bias.expand(len(weight)).contiguous())
    context.layer(module, weight=1)


def matmul(context: NodeContext) -> None:
    """MatMul: a linear layer where the second factor is a constant matrix."""
    if not context.is_constant(1) or context.constant(1).ndim != 2:
        context.function(torch.matmul, context.x(), context.x(1))
        return
    weight = context.weight(1).T.contiguous()
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    module.weight = nn.Parameter(weight)
    context.layer(module, weight=1)


def batch_norm(context: NodeContext) -> None:
    """BatchNormalization with its running statistics."""
    scale, shift, mean, variance = (context.weight(index) for index in range(1, 5))
    rank = len(context.shape())
    if rank not in NORMS:
        raise context.refused(f"of {rank} axes")
    module = NORMS[rank](len(scale), eps=context.attribute("epsilon", 1e-5))
    module.weight, module.bias = nn.Parameter(scale), nn.Parameter(shift)
    module.running_mean, module.running_var = mean, variance
    context.layer(module, weight=1)


def relu(context: NodeContext) -> None:
    """Relu."""
    context.layer(nn.ReLU())


def sigmoid(context: NodeContext) -> None:
    """Sigmoid."""
    context.layer(nn.Sigmoid())


def clip(context: NodeContext) -> None:
    """Clip; from 0 up it is a rectifier."""
    low = context.attribute("min", context.constant(1, -math.inf))
    high = context.attribute("max", context.constant(2, math.inf))
    low, high = float(low), float(high)
    if low == 0 and high >= torch.finfo(torch.float32).max:
        relu(context)
    else:
        context.function(torch.clamp, context.x(), low, high)


def max_pool(context: NodeContext) -> None:
    """MaxPool over two or three axes."""
    size = context.attribute("kernel_shape")
    axes = _pooled(context, size)
    x, padding = _padded(context, axes, -math.inf)
    ceil = bool(context.attribute("ceil_mode", 0))
    context.layer(
        _MAX_POOLS[axes](tuple(size), _strides(context, axes), padding, _dilations(context, axes), ceil_mode=ceil), x
    )


def average_pool(context: NodeContext) -> None:
    """AveragePool over two or three axes."""
    size = context.attribute("kernel_shape")
    axes = _pooled(context, size)
    counted = bool(context.attribute("count_include_pad", 0))
    x, padding = _padded(context, axes, 0.0)
    if x is not context.x() and not counted:
        raise context.refused("with padding on one side that does not count")
    if any(step != 1 for step in _dilations(context, axes)):
        raise context.refused("with dilations")
    ceil = bool(context.attribute("ceil_mode", 0))
    context.layer(_AVERAGE_POOLS[axes](tuple(size), _strides(context, axes), padding, ceil, counted), x)


def global_average_pool(context: NodeContext) -> None:
    """GlobalAveragePool over two or three axes."""
    rank = len(context.shape())
    if rank not in _GLOBAL_POOLS:
        raise context.refused(f"of {rank} axes")
    context.layer(_GLOBAL_POOLS[rank](1))


def _pooled(context: NodeContext, size: list[int]) -> int:
    if len(size) not in _MAX_POOLS:
        raise context.refused(f"over {len(size)} axes; two and three are known")
    return len(size)


def _strides(context: NodeContext, axes: int) -> tuple[int, ...]:
    return tuple(context.attribute("strides", [1] * axes))


def _dilations(context: NodeContext, axes: int) -> tuple[int, ...]:
    return tuple(context.attribute("dilations", [1] * axes))


def _padded(context: NodeContext, axes: int, value: float) -> tuple[fx.Node, tuple[int, ...]]:
    """The input and the padding that is left to the layer: what is not the same on both sides goes before it."""
    before, behind = _amounts(context, axes)
    if before == behind:
        return context.x(), tuple(before)
    amounts = [amount for pair in zip(reversed(before), reversed(behind), strict=True) for amount in pair]
    # Zeros before a maximum of what is not negative change nothing, and relevance knows them.
    rectified = isinstance(context.network.modules.get(str(context.x().target)), nn.ReLU)
    if value and rectified:
        value = 0.0
    padded = context.network.fx.call_function(F.pad, (context.x(), tuple(amounts), "constant", value))
    return padded, (0,) * axes


def _amounts(context: NodeContext, axes: int) -> tuple[list[int], list[int]]:
    """Padding before and behind, per axis."""
    rule = context.attribute("auto_pad", "NOTSET")
    if rule == "VALID":
        return [0] * axes, [0] * axes
    if rule == "NOTSET":
        pads = context.attribute("pads", [0] * (2 * axes))
        return list(pads[:axes]), list(pads[axes:])
    size = context.attribute("kernel_shape") or list(context.constant(1).shape[2:])
    before, behind = [], []
    for extent, kernel, stride, dilation in zip(
        context.shape()[2:], size, _strides(context, axes), _dilations(context, axes), strict=True
    ):
        total = max(0, (-(-extent // stride) - 1) * stride + dilation * (kernel - 1) + 1 - extent)
        less = total // 2
        before.append(less if rule == "SAME_UPPER" else total - less)
        behind.append(total - before[-1])
    return before, behind
