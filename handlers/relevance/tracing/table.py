"""The one table: which modules, functions and methods are understood, and what each becomes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handlers.relevance.kernels.geometry import Geometry
from handlers.relevance.modules.conv_lstm import ConvLSTM
from handlers.relevance.modules.layers import EvenFrames, SamePad
from handlers.relevance.operations.attention import LayerNorm
from handlers.relevance.operations.average_pool import AdaptiveAveragePool, AveragePool, Mean
from handlers.relevance.operations.base import Operation
from handlers.relevance.operations.frame_selection import FrameSelection, PadSame
from handlers.relevance.operations.gated import Gelu, Sigmoid, Swish
from handlers.relevance.operations.layer_weights import LayerWeights
from handlers.relevance.operations.max_pool import MaxPool
from handlers.relevance.operations.pointwise import Factor, Norm, Relu
from handlers.relevance.operations.recurrence import Recurrence
from handlers.relevance.operations.reshaping import Identity, Pad
from handlers.relevance.operations.weighted import Weighted
from handlers.relevance.rules import Rules
from handlers.relevance.tracing.alternatives import ALTERNATIVES, NEAREST


class Refusal(Exception):
    """Why one call cannot be taken into the program: (operation, alternative)."""


def _each(value: Any, axes: int) -> tuple[int, ...]:
    return (int(value),) * axes if isinstance(value, int) else tuple(int(v) for v in value)


def convolution(
    weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int, rules: Rules
) -> Weighted:
    """A convolution over two or three axes."""
    axes = weight.dim() - 2
    if axes not in (2, 3):
        raise Refusal(f"a convolution over {axes} axes", "use Conv3d or Conv2d")
    stride, dilation = _each(stride, axes), _each(dilation, axes)
    if padding == "valid":
        padding = 0
    if padding == "same":
        reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if any(r % 2 for r in reach):
            raise Refusal("padding='same' with an even kernel", "pad with torch.nn.functional.pad before it")
        padding = [r // 2 for r in reach]
    geometry = Geometry(stride, _each(padding, axes), dilation, groups)
    return Weighted(LayerWeights(_own(weight), None if bias is None else _own(bias), geometry), rules)


def linear(weight: Tensor, bias: Tensor | None, rules: Rules) -> Weighted:
    """A linear layer on the last axis."""
    return Weighted(LayerWeights(_own(weight), None if bias is None else _own(bias), None), rules)


def norm(
    mean: Tensor | None, var: Tensor | None, weight: Tensor | None, bias: Tensor | None, eps: float, rules: Rules
) -> Operation:
    """Batch norm in evaluation mode, as a scale and a shift per channel."""
    if mean is None or var is None:
        raise Refusal("batch norm without running statistics", "train it with track_running_stats=True")
    scale = (var + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale
    if bias is not None:
        shift = shift + bias
    return Norm(_own(scale), _own(shift), rules)


def layer_norm(weight: Tensor | None, bias: Tensor | None, eps: float) -> LayerNorm:
    """Layer norm over the last axis, of as many values as the weight has."""
    if weight is None or weight.dim() != 1:
        raise Refusal("layer norm over several axes or without weights", "use nn.LayerNorm(channels) on the last axis")
    return LayerNorm(_own(weight), None if bias is None else _own(bias), eps)


def folded_norm(operation: Norm, axes: int, rules: Rules) -> Weighted:
    """Batch norm that follows no convolution, as the convolution that it is (folding rule)."""
    geometry = Geometry((1,) * axes, (0,) * axes, (1,) * axes, len(operation.scale))
    weight = operation.scale.view(-1, 1, *([1] * axes))
    return Weighted(LayerWeights(weight, operation.shift, geometry), rules)


def max_pool(
    axes: int,
    size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> MaxPool:
    """Max pooling with the arguments of torch.nn.functional.max_pool3d."""
    if return_indices:
        raise Refusal("max pooling that returns indices", "leave return_indices off")
    size = _each(size, axes)
    stride = size if stride is None or stride == () or stride == [] else _each(stride, axes)
    return MaxPool(size, stride, _each(padding, axes), _each(dilation, axes), bool(ceil_mode))


def average_pool(
    axes: int,
    size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> AveragePool:
    """Average pooling with the arguments of torch.nn.functional.avg_pool3d."""
    size = _each(size, axes)
    stride = size if stride is None or stride == () or stride == [] else _each(stride, axes)
    return AveragePool(size, stride, _each(padding, axes), bool(ceil_mode), bool(count_include_pad), divisor_override)


def adaptive_average_pool(axes: int, size: Any) -> AdaptiveAveragePool:
    """Adaptive average pooling to a size per axis."""
    return AdaptiveAveragePool((size,) * axes if size is None or isinstance(size, int) else tuple(size))


def mean(axes: Any, keepdim: bool, dims: int) -> Mean:
    """Mean over axes of a tensor with `dims` axes."""
    if axes is None:
        raise Refusal("mean over everything", "name the axes, without the first (the batch)")
    chosen = tuple(sorted(axis % dims for axis in ((axes,) if isinstance(axes, int) else axes)))
    if 0 in chosen:
        raise Refusal("mean over the batch", "name axes without the first")
    return Mean(chosen, bool(keepdim))


def pad(amounts: Any, mode: str = "constant", value: float | None = None) -> Pad:
    """Zero padding with the arguments of torch.nn.functional.pad."""
    if mode != "constant" or value not in (None, 0, 0.0):
        raise Refusal(f"padding with mode {mode!r} and value {value!r}", "pad with zeros")
    if not all(isinstance(a, int) for a in amounts) or min(amounts) < 0:
        raise Refusal("padding by a negative or computed amount", "slice, or give the amounts as numbers")
    return Pad(tuple(amounts))


def factor(value: Any) -> Factor:
    """Multiplication by a constant number."""
    if not isinstance(value, int | float):
        raise Refusal("multiplication of two tensors", "known gates are sigmoids; use one, or addition")
    return Factor(float(value))


def of_module(module: nn.Module, rules: Rules) -> Operation:
    """The operation of a torch.nn module. Raises Refusal with (operation, alternative)."""
    match module:
        case nn.Conv2d() | nn.Conv3d():
            if module.padding_mode != "zeros":
                raise Refusal(f"padding_mode={module.padding_mode!r}", "use padding_mode='zeros'")
            return convolution(
                module.weight, module.bias, module.stride, module.padding, module.dilation, module.groups, rules
            )
        case nn.Linear():
            return linear(module.weight, module.bias, rules)
        case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d():
            return norm(module.running_mean, module.running_var, module.weight, module.bias, module.eps, rules)
        case nn.ReLU():
            return Relu()
        case nn.SiLU():
            return Swish()
        case nn.GELU():
            return Gelu(module.approximate)
        case nn.LayerNorm():
            return layer_norm(module.weight, module.bias, module.eps)
        case nn.Sigmoid():
            return Sigmoid()
        case nn.MaxPool2d() | nn.MaxPool3d():
            return max_pool(
                2 if isinstance(module, nn.MaxPool2d) else 3,
                module.kernel_size,
                module.stride,
                module.padding,
                module.dilation,
                module.ceil_mode,
                module.return_indices,
            )
        case nn.AvgPool2d() | nn.AvgPool3d():
            return average_pool(
                2 if isinstance(module, nn.AvgPool2d) else 3,
                module.kernel_size,
                module.stride,
                module.padding,
                module.ceil_mode,
                module.count_include_pad,
                module.divisor_override,
            )
        case nn.AdaptiveAvgPool2d() | nn.AdaptiveAvgPool3d():
            return adaptive_average_pool(2 if isinstance(module, nn.AdaptiveAvgPool2d) else 3, module.output_size)
        case nn.Identity() | nn.Dropout() | nn.Dropout1d() | nn.Dropout2d() | nn.Dropout3d() | nn.AlphaDropout():
            return Identity()
        case nn.ConstantPad3d() | nn.ConstantPad2d() | nn.ZeroPad2d() | nn.ZeroPad3d():
            return pad(module.padding, value=module.value)
        case SamePad():
            return PadSame((), module)
        case EvenFrames():
            return FrameSelection(module)
        case ConvLSTM():
            return Recurrence(module, rules)
    name = type(module).__name__
    raise Refusal(name, ALTERNATIVES.get(name.lower(), NEAREST))


SIZES: dict[Any, Callable[..., Any]] = {
    operator.add: operator.add,
    operator.sub: operator.sub,
    operator.mul: operator.mul,
    operator.floordiv: operator.floordiv,
    operator.truediv: operator.truediv,
    operator.mod: operator.mod,
    operator.neg: operator.neg,
    operator.getitem: operator.getitem,
    int: int,
    max: max,
    min: min,
}
"""Arithmetic on numbers that come from shapes."""

RELUS = {F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_"}
ADDS = {operator.add, operator.iadd, torch.add, "add", "add_", "__add__", "__iadd__"}
IN_PLACE = {operator.iadd, operator.imul, F.relu_, torch.relu_, "relu_", "add_", "mul_", "__iadd__"}


def _own(tensor: Tensor) -> Tensor:
    """A parameter without its gradient history; shares memory with the module."""
    return tensor.detach()
