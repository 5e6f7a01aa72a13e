"""Operators that become layers: modules that relevance and Grad-CAM know."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from handlers.onnx_import.node_context import Call

_CONVOLUTIONS: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
NORMS: dict[int, Any] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_MAX_POOLS: dict[int, Any] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_AVERAGE_POOLS: dict[int, Any] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
_GLOBAL_POOLS = {4: nn.AdaptiveAvgPool2d, 5: nn.AdaptiveAvgPool3d}


def convolution(call: Call) -> None:
    """Conv over two or three axes."""
    weight = call.weight(1)
    axes = weight.dim() - 2
    if axes not in _CONVOLUTIONS:
        raise call.refused(f"over {axes} axes; two and three are known")
    x, padding = _padded(call, axes, 0.0)
    groups = call.attribute("group", 1)
    module = _CONVOLUTIONS[axes](
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        _strides(call, axes),
        padding,
        _dilations(call, axes),
        groups,
        bias=call.has(2),
    )
    module.weight = nn.Parameter(weight)
    if call.has(2):
        module.bias = nn.Parameter(call.weight(2))
    call.layer(module, x, weight=1)


def gemm(call: Call) -> None:
    """Gemm by constant weights."""
    if call.attribute("transA", 0):
        raise call.refused("with transA")
    weight = call.weight(1) * call.attribute("alpha", 1.0)
    weight = weight if call.attribute("transB", 0) else weight.T
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=call.has(2))
    module.weight = nn.Parameter(weight.contiguous())
    if call.has(2):
        bias = call.weight(2) * call.attribute("beta", 1.0)
        module.bias = nn.Parameter(bias.expand(len(weight)).contiguous())
    call.layer(module, weight=1)


def matmul(call: Call) -> None:
    """MatMul: a linear layer where the second factor is a constant matrix."""
    if not call.is_constant(1) or call.constant(1).ndim != 2:
        call.function(torch.matmul, call.x(), call.x(1))
        return
    weight = call.weight(1).T.contiguous()
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    module.weight = nn.Parameter(weight)
    call.layer(module, weight=1)


def batch_norm(call: Call) -> None:
    """BatchNormalization with its running statistics."""
    scale, shift, mean, variance = (call.weight(place) for place in range(1, 5))
    rank = len(call.shape())
    if rank not in NORMS:
        raise call.refused(f"of {rank} axes")
    module = NORMS[rank](len(scale), eps=call.attribute("epsilon", 1e-5))
    module.weight, module.bias = nn.Parameter(scale), nn.Parameter(shift)
    module.running_mean, module.running_var = mean, variance
    call.layer(module, weight=1)


def relu(call: Call) -> None:
    """Relu."""
    call.layer(nn.ReLU())


def sigmoid(call: Call) -> None:
    """Sigmoid."""
    call.layer(nn.Sigmoid())


def clip(call: Call) -> None:
    """Clip; from 0 up it is a rectifier."""
    low = call.attribute("min", call.constant(1, -math.inf))
    high = call.attribute("max", call.constant(2, math.inf))
    low, high = float(low), float(high)
    if low == 0 and high >= torch.finfo(torch.float32).max:
        relu(call)
    else:
        call.function(torch.clamp, call.x(), low, high)


def max_pool(call: Call) -> None:
    """MaxPool over two or three axes."""
    size = call.attribute("kernel_shape")
    axes = _pooled(call, size)
    x, padding = _padded(call, axes, -math.inf)
    ceil = bool(call.attribute("ceil_mode", 0))
    call.layer(_MAX_POOLS[axes](tuple(size), _strides(call, axes), padding, _dilations(call, axes), ceil_mode=ceil), x)


def average_pool(call: Call) -> None:
    """AveragePool over two or three axes."""
    size = call.attribute("kernel_shape")
    axes = _pooled(call, size)
    counted = bool(call.attribute("count_include_pad", 0))
    x, padding = _padded(call, axes, 0.0)
    if x is not call.x() and not counted:
        raise call.refused("with padding on one side that does not count")
    if any(step != 1 for step in _dilations(call, axes)):
        raise call.refused("with dilations")
    ceil = bool(call.attribute("ceil_mode", 0))
    call.layer(_AVERAGE_POOLS[axes](tuple(size), _strides(call, axes), padding, ceil, counted), x)


def global_average_pool(call: Call) -> None:
    """GlobalAveragePool over two or three axes."""
    rank = len(call.shape())
    if rank not in _GLOBAL_POOLS:
        raise call.refused(f"of {rank} axes")
    call.layer(_GLOBAL_POOLS[rank](1))


def _pooled(call: Call, size: list[int]) -> int:
    if len(size) not in _MAX_POOLS:
        raise call.refused(f"over {len(size)} axes; two and three are known")
    return len(size)


def _strides(call: Call, axes: int) -> tuple[int, ...]:
    return tuple(call.attribute("strides", [1] * axes))


def _dilations(call: Call, axes: int) -> tuple[int, ...]:
    return tuple(call.attribute("dilations", [1] * axes))


def _padded(call: Call, axes: int, value: float) -> tuple[fx.Node, tuple[int, ...]]:
    """The input and the padding that is left to the layer: what is not the same on both sides goes before it."""
    before, behind = _amounts(call, axes)
    if before == behind:
        return call.x(), tuple(before)
    amounts = [amount for pair in zip(reversed(before), reversed(behind), strict=True) for amount in pair]
    # Zeros before a maximum of what is not negative change nothing, and relevance knows them.
    rectified = isinstance(call.network.modules.get(str(call.x().target)), nn.ReLU)
    if value and rectified:
        value = 0.0
    padded = call.network.fx.call_function(F.pad, (call.x(), tuple(amounts), "constant", value))
    return padded, (0,) * axes


def _amounts(call: Call, axes: int) -> tuple[list[int], list[int]]:
    """Padding before and behind, per axis."""
    rule = call.attribute("auto_pad", "NOTSET")
    if rule == "VALID":
        return [0] * axes, [0] * axes
    if rule == "NOTSET":
        pads = call.attribute("pads", [0] * (2 * axes))
        return list(pads[:axes]), list(pads[axes:])
    size = call.attribute("kernel_shape") or list(call.constant(1).shape[2:])
    before, behind = [], []
    for extent, kernel, stride, dilation in zip(
        call.shape()[2:], size, _strides(call, axes), _dilations(call, axes), strict=True
    ):
        total = max(0, (-(-extent // stride) - 1) * stride + dilation * (kernel - 1) + 1 - extent)
        less = total // 2
        before.append(less if rule == "SAME_UPPER" else total - less)
        behind.append(total - before[-1])
    return before, behind
