"""What the first convolution makes of a clip that changes part by part.

Before its rectifier it is linear: its output for a clip with some parts replaced is that for the clip, plus what each
replaced part adds. So the many versions of one clip that a perturbation makes cost it little more than two of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from handlers.relevance.kernels.convolution import Kernel
from handlers.relevance.kernels.geometry import Geometry
from handlers.relevance.operations.weighted import Weighted
from handlers.relevance.program.graph import Graph


@dataclass(frozen=True)
class FirstConvolution:
    """The convolution over time, rows and columns that reads the clip, with the batch norm and rectifier behind it."""

    layer: Weighted
    kernel: Kernel
    bias: Tensor | None
    _windowed: Kernel = field(repr=False)

    @classmethod
    def of(cls, graph: Graph) -> FirstConvolution | None:
        """That of a graph; None where something else, or something beside it, reads the clip, or it skips pixels."""
        first, *others = graph.steps
        layer = first.operation
        if not isinstance(layer, Weighted) or first.number == graph.output:
            return None
        if first.inputs != (0,) or any(0 in step.inputs for step in others):
            return None
        kernel, bias = layer.folded
        if not isinstance(kernel, Kernel) or len(kernel.size) != 3 or kernel.geometry.groups > 1:
            return None
        g = kernel.geometry
        if any(d * (k - 1) < s - 1 for k, s, d in zip(kernel.size, g.stride, g.dilation, strict=True)):
            return None
        return cls(layer, kernel, bias, _in_frames(kernel))

    def output_size(self, size: Sequence[int]) -> tuple[int, int, int]:
        """(T', H', W') of the output for clips of (T, H, W)."""
        g = self.kernel.geometry
        t, y, x = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(size, g.padding, g.dilation, self.kernel.size, g.stride, strict=True)
        )
        return t, y, x

    def reach(self, height: int, width: int) -> tuple[int, int, int]:
        """Most time steps, rows and columns of the output that so many rows and columns of one frame are seen in."""
        g = self.kernel.geometry
        rows, columns = (
            (extent + d * (k - 1) - 1) // s + 1
            for extent, d, k, s in zip((height, width), g.dilation[1:], self.kernel.size[1:], g.stride[1:], strict=True)
        )
        return self.kernel.size[0], rows, columns

    def rows(self, clip: Tensor) -> Tensor:
        """Output before the rectifier for a clip [C, T, H, W]: rows [T' * H' * W' + 1, C'], the last of them spare."""
        with torch.no_grad():
            output = self.kernel.apply(clip[None], self.bias)[0]
            rows = output.permute(1, 2, 3, 0).reshape(-1, len(output))
            return torch.cat((rows, rows.new_zeros(1, rows.shape[1])))

    def activations(self, rows: Tensor, into: Tensor) -> None:
        """Write what the rows make the layer put out to `into`, [T' * H' * W', C']."""
        if self.layer.relu:
            torch.clamp(rows[:-1], min=0, out=into)
        else:
            into.copy_(rows[:-1])

    def added(self, difference: Tensor, voxels: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """What parts of a difference of clips add to the rows.

        difference: [C, T, H, W]. voxels: int64 [V], of one part after another, by their number in the flattened clip;
        each part lies in one frame. sizes: int64 [U], voxels of each part. Returns (int64 [U, n], the rows that a part
        reaches, spare ones too; [U, n, C'], what is to be added to them).
        """
        channels, frames, height, width = difference.shape
        g, (steps, high, wide) = self.kernel.geometry, self.output_size((frames, height, width))
        part = torch.arange(len(sizes)).repeat_interleave(sizes)
        frame, y, x = voxels // (height * width), voxels // width % height, voxels % width
        frame_of = frame[sizes.cumsum(0) - sizes]
        top, bottom = _bounds(y, part, len(sizes))
        left, right = _bounds(x, part, len(sizes))
        _, rows, columns = self.reach(int((bottom - top).max()) + 1, int((right - left).max()) + 1)
        # The first output that sees a part, and the first input that this output sees.
        first_row, first_column = (
            -((d * (k - 1) - edge - p) // s)
            for edge, k, d, p, s in zip(
                (top, left), self.kernel.size[1:], g.dilation[1:], g.padding[1:], g.stride[1:], strict=True
            )
        )
        window_high, window_wide = (
            (n - 1) * s + d * (k - 1) + 1
            for n, s, d, k in zip((rows, columns), g.stride[1:], g.dilation[1:], self.kernel.size[1:], strict=True)
        )
        y = y - (first_row * g.stride[1] - g.padding[1])[part]
        x = x - (first_column * g.stride[2] - g.padding[2])[part]
        windows = difference.new_zeros((len(sizes), window_high, window_wide, channels))
        windows.view(-1, channels).index_copy_(
            0, (part * window_high + y) * window_wide + x, difference.permute(1, 2, 3, 0).reshape(-1, channels)[voxels]
        )
        with torch.no_grad():
            found = self._windowed.apply(windows.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        time = frame_of[:, None] + g.padding[0] - g.dilation[0] * torch.arange(self.kernel.size[0])
        time = torch.where(time % g.stride[0] == 0, time // g.stride[0], -1)[:, None, None, :]
        row = (first_row[:, None] + torch.arange(rows))[:, :, None, None]
        column = (first_column[:, None] + torch.arange(columns))[:, None, :, None]
        there = (time >= 0) & (time < steps) & (row >= 0) & (row < high) & (column >= 0) & (column < wide)
        places = torch.where(there, (time * high + row) * wide + column, steps * high * wide)
        return places.flatten(1), found.reshape(len(sizes), places[0].numel(), -1)


def _bounds(values: Tensor, part: Tensor, parts: int) -> tuple[Tensor, Tensor]:
    """int64 [parts]: the smallest and the largest value of each part."""
    empty = values.new_zeros(parts)
    low = empty.scatter_reduce(0, part, values, "amin", include_self=False)
    return low, empty.scatter_reduce(0, part, values, "amax", include_self=False)


def _in_frames(kernel: Kernel) -> Kernel:
    """The kernel's time steps as channels [kt * O, C, kh, kw], of frames that are looked at one by one."""
    outputs, inputs, steps, *size = kernel.weight.shape
    weight = kernel.weight.detach().permute(2, 0, 1, 3, 4).reshape(steps * outputs, inputs, *size).contiguous()
    return Kernel(weight, Geometry(kernel.geometry.stride[1:], (0, 0), kernel.geometry.dilation[1:]))
