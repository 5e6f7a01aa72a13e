"""One fixed convolution: forwards, and its exact transpose, on the fastest path this machine has.

On a CPU in float32 the weights are packed once for oneDNN and its convolution is called directly: torch's own
front door leaves oneDNN for small batches on one thread, which is up to 17 times slower, and packs on every call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from handlers.relevance.kernels.geometry import Geometry
from handlers.relevance.kernels.onednn_packing import packed

PHASES_PAY_BELOW = 8
"""A strided transpose with so few input channels is done phase by phase: one dense convolution, then a shuffle."""


@dataclass(eq=False)
class Kernel:
    """y = weight * x for weight [O, C / groups, ...] over one, two or three axes. Tensors are never modified.

    Computed in the type of the weight and answered in that of the input.
    """

    weight: Tensor
    geometry: Geometry
    _packed: dict[Any, Tensor] = field(default_factory=dict, repr=False)

    @property
    def size(self) -> tuple[int, ...]:
        """Extent per axis."""
        return tuple(self.weight.shape[2:])

    def apply(
        self, x: Tensor, bias: Tensor | None = None, relu: bool = False, time_padding: int | None = None
    ) -> Tensor:
        """x [N, C, ...] -> [N, O, ...], plus bias [O], rectified if asked; time_padding replaces the first padding."""
        geometry = self.geometry if time_padding is None else self.geometry.with_time(time_padding)
        y = self._convolve("forward", self.weight, x.to(self.weight.dtype), bias, relu, geometry)
        return y.to(x.dtype)

    def transpose(self, y: Tensor, size: tuple[int, ...], windowed: bool = False) -> Tensor:
        """y [N, O, ...] -> [N, C, *size], the exact transpose of `apply` for inputs of that size.

        windowed: y holds windows of time steps, so the result spans all that they reach; size[0] is ignored.
        """
        return self._transpose(y.to(self.weight.dtype), size, windowed).to(y.dtype)

    def _transpose(self, y: Tensor, size: tuple[int, ...], windowed: bool) -> Tensor:
        geometry = self.geometry
        if windowed:
            geometry = geometry.with_time(0)
            reach = geometry.dilation[0] * (self.size[0] - 1) + 1
            size = ((y.shape[2] - 1) * geometry.stride[0] + reach, *size[1:])
        reach_of = [d * (k - 1) for d, k in zip(geometry.dilation, self.size, strict=True)]
        back = tuple(r - p for r, p in zip(reach_of, geometry.padding, strict=True))
        if min(back) < 0:
            return self._backward(y, size, geometry)
        if all(s == 1 for s in geometry.stride):
            flipped = Geometry(geometry.stride, back, geometry.dilation, geometry.groups)
            return self._convolve("transpose", self._flipped, y, None, False, flipped)
        if all(k == 1 or s == 1 for k, s in zip(self.size, geometry.stride, strict=True)):
            return self._interleave(y, size, geometry, back)
        narrow = geometry.groups == 1 and self.weight.shape[1] <= PHASES_PAY_BELOW
        if narrow and all(d == 1 for d in geometry.dilation) and len(size) == 3:
            return self._phases(y, size, geometry)
        return self._backward(y, size, geometry)

    @property
    def _flipped(self) -> Tensor:
        """Weights of the transpose at stride 1: [C, O / groups, ...]."""
        if "flipped" not in self._packed:
            groups, axes = self.geometry.groups, range(2, self.weight.dim())
            outputs, inputs = self.weight.shape[:2]
            grouped = self.weight.flip(*axes).view(groups, outputs // groups, inputs, *self.size)
            self._packed["flipped"] = grouped.transpose(1, 2).reshape(groups * inputs, outputs // groups, *self.size)
        return self._packed["flipped"]

    def _convolve(
        self, name: str, weight: Tensor, x: Tensor, bias: Tensor | None, relu: bool, geometry: Geometry
    ) -> Tensor:
        g = geometry
        if _packs(x, weight):
            if weight.dim() == 5 and _mixes_time_only(weight, g):
                return self._through_time(name, weight, x, bias, relu, g)
            weights = packed(self._packed, name, weight, g, x.shape)
            point: Any = torch.ops.mkldnn._convolution_pointwise
            x = x.contiguous(memory_format=_LAST[weight.dim()])
            attribute = "relu" if relu else "none"
            result: Tensor = point(x, weights, bias, g.padding, g.stride, g.dilation, g.groups, attribute, [], "")
            return result
        if x.is_cuda and relu and bias is not None:
            return F.relu_(_convolution(x, weight, bias, g))
        result = _convolution(x, weight, bias, g)
        return F.relu_(result) if relu else result

    def _through_time(
        self, name: str, weight: Tensor, x: Tensor, bias: Tensor | None, relu: bool, geometry: Geometry
    ) -> Tensor:
        """Each position by itself: a convolution over time and position alone, faster than one over three axes."""
        rows, channels, steps, height, width = x.shape
        x = x.contiguous(memory_format=torch.channels_last_3d)
        flat = x.permute(0, 2, 3, 4, 1).view(rows, steps, height * width, channels).permute(0, 3, 1, 2)
        over = Geometry((geometry.stride[0], 1), (geometry.padding[0], 0), (geometry.dilation[0], 1), geometry.groups)
        y = self._convolve(name, weight[..., 0], flat, bias, relu, over)
        y = y.permute(0, 2, 3, 1)
        return y.reshape(rows, y.shape[1], height, width, y.shape[3]).permute(0, 4, 1, 2, 3)

    def _backward(self, y: Tensor, size: tuple[int, ...], geometry: Geometry) -> Tensor:
        """Through the library's input gradient (no weight gradient)."""
        shape = (y.shape[0], self.weight.shape[1] * geometry.groups, *size)
        layout = _LAST.get(y.dim(), torch.contiguous_format)
        unused = torch.empty(shape, dtype=y.dtype, device=y.device, memory_format=layout)
        g = geometry
        zero = [0] * len(size)
        gradient: Any = torch.ops.aten.convolution_backward
        outputs = gradient(
            y, unused, self.weight, None, g.stride, g.padding, g.dilation, False, zero, g.groups, (True, False, False)
        )
        result: Tensor = outputs[0]
        return result

    def _interleave(self, y: Tensor, size: tuple[int, ...], geometry: Geometry, back: tuple[int, ...]) -> Tensor:
        """Axes with a stride have extent 1: a dense transpose there, then zeros between."""
        ones = tuple(1 for _ in size)
        free = tuple(0 if s > 1 else b for s, b in zip(geometry.stride, back, strict=True))
        small = self._convolve(
            "transpose", self._flipped, y, None, False, Geometry(ones, free, geometry.dilation, geometry.groups)
        )
        shape = (small.shape[0], small.shape[1], *size)
        layout = _LAST.get(y.dim(), torch.contiguous_format)
        result = torch.empty(shape, dtype=y.dtype, device=y.device, memory_format=layout).zero_()
        into: list[slice] = [slice(None), slice(None)]
        source: list[slice] = [slice(None), slice(None)]
        for axis, (stride, padding) in enumerate(zip(geometry.stride, geometry.padding, strict=True)):
            if stride == 1:
                into.append(slice(None))
                source.append(slice(None))
                continue
            first = -(-padding // stride)
            start = first * stride - padding
            count = min(small.shape[2 + axis] - first, -(-(size[axis] - start) // stride))
            into.append(slice(start, start + stride * count, stride))
            source.append(slice(first, first + count))
        result[tuple(into)] = small[tuple(source)]
        return result

    def _phases(self, y: Tensor, size: tuple[int, ...], geometry: Geometry) -> Tensor:
        """Each phase of the stride is a dense convolution; all phases are computed as channels of one.

        A cell is one step of the stride, counted over the padded input; cells of padding alone are left out. Few
        channels leave lanes of the processor empty: then two cells in time are computed as channels too.
        """
        stride, padding = geometry.stride, geometry.padding
        taps = tuple(-(-k // s) for k, s in zip(self.size, stride, strict=True))
        fold = (_fold(math.prod(stride) * self.weight.shape[1], taps[0]), 1, 1)
        weight = self._phase_weight(stride, taps, fold[0])
        before = tuple(p // s for p, s in zip(padding, stride, strict=True))
        last = ((n + p - 1) // s for n, p, s in zip(size, padding, stride, strict=True))
        blocks = tuple(-(-(end + 1 - first) // f) for end, first, f in zip(last, before, fold, strict=True))
        around = tuple(t - 1 - first for t, first in zip(taps, before, strict=True))
        needed = (f * b + t - 1 for f, b, t in zip(fold, blocks, taps, strict=True))
        extra = [max(0, n - own - 2 * a) for n, own, a in zip(needed, y.shape[2:], around, strict=True)]
        if any(extra):
            y = F.pad(y, [amount for tail in reversed(extra) for amount in (0, tail)])
        z = self._convolve("phases", weight, y, None, False, Geometry(fold, around, (1, 1, 1)))
        z = z[:, :, : blocks[0], : blocks[1], : blocks[2]]
        n, channels = z.shape[0], self.weight.shape[1]
        z = z.reshape(n, fold[0], *stride, channels, *blocks).permute(0, 5, 6, 1, 2, 7, 3, 8, 4)
        z = z.reshape(n, channels, *(b * f * s for b, f, s in zip(blocks, fold, stride, strict=True)))
        a, b, c = (slice(p % s, p % s + m) for p, s, m in zip(padding, stride, size, strict=True))
        return z[:, :, a, b, c].contiguous(memory_format=torch.channels_last_3d)

    def _phase_weight(self, stride: tuple[int, ...], taps: tuple[int, ...], fold: int) -> Tensor:
        """[fold * phases * C, O, taps + fold - 1 in time, ...]."""
        if "phase weight" not in self._packed:
            outputs, inputs = self.weight.shape[:2]
            room = [t * s - k for t, s, k in zip(taps, stride, self.size, strict=True)]
            weight = F.pad(self.weight, [amount for tail in reversed(room) for amount in (0, tail)])
            split = [part for t, s in zip(taps, stride, strict=True) for part in (t, s)]
            weight = weight.view(outputs, inputs, *split).permute(3, 5, 7, 1, 0, 2, 4, 6).flip(5, 6, 7)
            weight = weight.reshape(math.prod(stride) * inputs, outputs, *taps)
            moved = [F.pad(weight, (0, 0, 0, 0, slot, fold - 1 - slot)) for slot in range(fold)]
            self._packed["phase weight"] = torch.cat(moved).contiguous()
        return self._packed["phase weight"]


def _fold(channels: int, taps: int) -> int:
    """Cells in time to compute at once, 1 or 2: what costs less per cell, of two equals the one with full lanes."""

    def cost(fold: int) -> tuple[float, int]:
        lanes = -(-fold * channels // _LANES) * _LANES
        return lanes * (taps + fold - 1) / fold, lanes - fold * channels

    return min((1, 2), key=cost)


_LANES = 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 8
"""Channels that oneDNN computes at once in float32."""

_ONEDNN = bool(torch._C._has_mkldnn) and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def _packs(x: Tensor, weight: Tensor) -> bool:
    # An exported graph is to hold convolutions that every runtime knows.
    if torch.compiler.is_exporting() or x.dtype is not torch.float32 or x.device.type != "cpu":
        return False
    return _ONEDNN and weight.dim() in _LAST and x.numel() > 0


def _mixes_time_only(weight: Tensor, g: Geometry) -> bool:
    single = weight.shape[2] > 1 and weight.shape[3:] == (1, 1)
    return single and g.stride[1:] == (1, 1) and g.padding[1:] == (0, 0)


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, g: Geometry) -> Tensor:
    operation: Any = torch.ops.aten.convolution
    zero = [0] * len(g.stride)
    result: Tensor = operation(x, weight, bias, g.stride, g.padding, g.dilation, False, zero, g.groups)
    return result
