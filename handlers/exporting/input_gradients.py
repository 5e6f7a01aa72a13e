"""Gradients at the inputs of operations, as operations that ONNX has: relevance is propagated by such gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def of_convolution(
    y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    mask: Any,
) -> tuple[Tensor, None, None]:
    """The input gradient of a convolution as the transposed convolution that it is."""
    extra = [
        size - ((steps - 1) * s - 2 * p + d * (k - 1) + 1)
        for size, steps, s, p, d, k in zip(
            x.shape[2:], y.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True
        )
    ]
    return torch.ops.aten.convolution(y, weight, None, stride, padding, dilation, True, extra, groups), None, None


def of_average_pool(
    y: Tensor,
    x: Tensor,
    size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    """The input gradient of average pooling as a transposed convolution with ones."""
    channels, none = y.shape[1], [0] * len(size)
    if divisor is not None:
        y = y / divisor
    else:
        # How many each mean is over differs at the border. (avg_pool's divisor is lost on the way to ONNX.)
        for axis, (extent, k, s, pad) in enumerate(zip(x.shape[2:], size, stride, padding, strict=True), start=2):
            starts = torch.arange(y.shape[axis]) * s - pad
            ends = (starts + k).clamp(max=extent + pad)
            if not count_include_pad:
                starts, ends = starts.clamp(min=0), ends.clamp(max=extent)
            y = y / (ends - starts).to(y).view(-1, *[1] * (y.dim() - 1 - axis))
    kernel = y.new_ones((channels, 1, *size))
    back = torch.ops.aten.convolution(y, kernel, None, stride, none, [1] * len(size), True, none, channels)
    # Off goes the padding; what no window reached is added, and what reached beyond the padding goes, too.
    margins = [(-pad, x.shape[axis] + pad - back.shape[axis]) for axis, pad in enumerate(padding, start=2)]
    return functional.pad(back, [side for margin in reversed(margins) for side in margin])


FORWARD: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.convolution_backward.default: of_convolution,
    torch.ops.aten.avg_pool2d_backward.default: of_average_pool,
    torch.ops.aten.avg_pool3d_backward.default: of_average_pool,
}
"""By operation, the forward operation that replaces its gradient in a graph."""
