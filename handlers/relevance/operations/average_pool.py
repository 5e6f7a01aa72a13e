"""Averages: mean over axes, average pooling, adaptive average pooling.

Relevance goes to the terms in proportion to their values (epsilon rule with the epsilon in the limit 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from handlers.relevance.messages import Message
from handlers.relevance.operations.base import Operation, Portion, Site, as_slope, explicit, spanning
from handlers.relevance.operations.pooling import Pooling


class Averaging(Operation):
    """The rule that all averages share; subclasses give the average and its transpose."""

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        message = self.fitted(message, site)
        return (Message(self.pull(as_slope(message, site), site)[0], None, message.spans),)

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        portion = portions[0]
        if self.keeps_time and portion.values is None:
            return portion
        written = explicit(portion, site.inputs[0])
        if not self.keeps_time:
            written = spanning(written, site.inputs[0].shape[2])
        return Portion(portion.frames, self.forward([written.values], None), written.spans)


@dataclass(eq=False)
class Mean(Averaging):
    """Mean over some axes (not the first)."""

    axes: tuple[int, ...]
    keepdim: bool
    kind = "mean"

    def __post_init__(self) -> None:
        self.keeps_time = self.keepdim and 2 not in self.axes

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        result: Tensor = inputs[0].mean(self.axes, keepdim=self.keepdim)
        return result

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        shape = list(site.inputs[0].shape)
        count = 1
        for axis in sorted(self.axes):
            count *= shape[axis]
            if not self.keepdim:
                y = y.unsqueeze(axis)
        if self.keeps_time:
            shape[2] = y.shape[2]
        return ((y / count).expand(y.shape[0], *shape[1:]),)


@dataclass(eq=False)
class AveragePool(Pooling, Averaging):
    """Average pooling over two or three axes, parameters as in torch.nn.AvgPool3d."""

    ceil_mode: bool
    count_include_pad: bool
    divisor: int | None
    kind = "average pool"

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        pool = F.avg_pool3d if len(self.size) == 3 else F.avg_pool2d
        result: Tensor = pool(
            inputs[0], self.size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor
        )
        return result

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        shape = list(site.inputs[0].shape)
        if self.keeps_time:
            shape[2] = y.shape[2]
        unused = y.new_empty(()).expand(y.shape[0], *shape[1:])
        back: Any = getattr(torch.ops.aten, f"avg_pool{len(self.size)}d_backward")
        result: Tensor = back(
            y.contiguous(),
            unused,
            self.size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor,
        )
        return (result,)


@dataclass(eq=False)
class AdaptiveAveragePool(Averaging):
    """Average pooling to a given size per axis (None keeps the axis)."""

    size: tuple[int | None, ...]
    kind = "adaptive average pool"

    def __post_init__(self) -> None:
        self.keeps_time = len(self.size) == 3 and self.size[0] is None

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        x: Tensor = inputs[0]
        if all(n == 1 for n in self.size):
            return x.mean(tuple(range(2, x.dim())), keepdim=True)
        pool: Any = F.adaptive_avg_pool3d if len(self.size) == 3 else F.adaptive_avg_pool2d
        result: Tensor = pool(x, self.size)
        return result

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        shape = list(site.inputs[0].shape)
        if self.keeps_time:
            shape[2] = y.shape[2]
        if all(n == 1 for n in self.size):
            count = 1
            for extent in shape[2:]:
                count *= extent
            return ((y / count).expand(y.shape[0], *shape[1:]),)
        unused = y.new_empty((y.shape[0], *shape[1:]))
        back: Any = getattr(torch.ops.aten, f"_adaptive_avg_pool{len(self.size)}d_backward")
        result: Tensor = back(y.contiguous(), unused)
        return (result,)
