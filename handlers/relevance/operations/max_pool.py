"""Max pooling under winner-take-all: all relevance goes to the unit that won (the first one where several tie)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from handlers.relevance.operations.base import Operation, Portion, Site, explicit, spanning
from handlers.relevance.windows import Message, look


@dataclass(eq=False)
class MaxPool(Operation):
    """Max pooling over two or three axes, parameters as in torch.nn.MaxPool3d.

    The winner is kept as one number per output: its place in the pooling window.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool
    kind = "max pool"

    def __post_init__(self) -> None:
        first = (self.size[0], self.stride[0], self.padding[0])
        self.keeps_time = len(self.size) == 3 and first == (1, 1, 0)

    @property
    def time_kernel(self) -> tuple[int, int]:
        return (self.dilation[0] * (self.size[0] - 1) + 1, self.stride[0]) if len(self.size) == 3 else (0, 1)

    @property
    def time_padding(self) -> int:
        return self.padding[0]

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        pool: Any = F.max_pool3d if len(self.size) == 3 else F.max_pool2d
        options = (self.size, self.stride, self.padding, self.dilation, self.ceil_mode)
        if saved is None:
            result: Tensor = pool(inputs[0], *options)
            return result
        result, saved["winner"] = pool(inputs[0], *options, return_indices=True)
        return result

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        return (self._pull(y, site, Message(y)),)

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        message = self.fitted(message, site)
        parts = [None if t is None else self._pull(t, site, message) for t in (message.slope, message.amount)]
        return (Message(parts[0], parts[1], message.starts, fresh=True),)

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        portion = portions[0]
        if self.keeps_time and portion.values is None:
            return portion
        written = explicit(portion, site.inputs[0])
        if not self.keeps_time:
            written = spanning(written, site.inputs[0].shape[2])
        assert written.values is not None
        winner = self._winner(site)
        if self.keeps_time:
            winner = look(winner, written.starts, written.values.shape[2])
        shape = (len(portion.frames), *winner.shape[1:])
        layout = torch.channels_last_3d if len(self.size) == 3 else torch.channels_last
        result = torch.empty(shape, dtype=written.values.dtype, device=winner.device, memory_format=layout).zero_()
        for code, into, source in self._taps(site, written.values.shape[2:], winner.shape[2:]):
            result[into] += torch.where(winner[into] == code, written.values[source], 0.0)
        return Portion(portion.frames, result, written.starts)

    def _pull(self, y: Tensor, site: Site, message: Message) -> Tensor:
        index, x = site.saved["winner"], site.inputs[0]
        whole = message.starts is None and y.shape == index.shape and y.dtype is x.dtype
        if whole and not torch.compiler.is_exporting():
            # Ten times faster than place by place, which windows and many rows of one clip need.
            back: Any = torch.ops.aten
            back = back.max_pool3d_with_indices_backward if x.dim() == 5 else back.max_pool2d_with_indices_backward
            result: Tensor = back(y, x, self.size, self.stride, self.padding, self.dilation, self.ceil_mode, index)
            return result
        shape = list(x.shape)
        winner = self._winner(site)
        if message.starts is not None:
            winner = look(winner, message.starts, y.shape[2])
            shape[2] = y.shape[2]
        elif winner.shape[0] not in (1, y.shape[0]):
            winner = winner.repeat(y.shape[0] // winner.shape[0], *([1] * (winner.dim() - 1)))
        layout = torch.channels_last_3d if len(self.size) == 3 else torch.channels_last
        result = torch.empty((y.shape[0], *shape[1:]), dtype=y.dtype, device=y.device, memory_format=layout).zero_()
        for code, source, into in self._taps(site, shape[2:], y.shape[2:]):
            result[into] += torch.where(winner[source] == code, y[source], 0.0)
        return result

    def _winner(self, site: Site) -> Tensor:
        """[m, C, ...] int32: how far the winner lies behind the pooling window's first place, in flat positions.

        Two places of one window can share that number only if one of them lies outside the input.
        """
        if "winner" not in site.derived:
            index, shape = site.saved["winner"], site.inputs[0].shape[2:]
            first = torch.zeros((1,) * len(shape), dtype=torch.int64, device=index.device)
            for axis, extent in enumerate(shape):
                place = (
                    torch.arange(index.shape[2 + axis], device=index.device) * self.stride[axis] - self.padding[axis]
                )
                first = first * extent + place.view(-1, *([1] * (len(shape) - 1 - axis)))
            layout = torch.channels_last_3d if len(self.size) == 3 else torch.channels_last
            site.derived["winner"] = (index - first).to(torch.int32).contiguous(memory_format=layout)
        result: Tensor = site.derived["winner"]
        return result

    def _taps(
        self, site: Site, inputs: Sequence[int], outputs: Sequence[int]
    ) -> Iterator[tuple[int, tuple[slice, ...], tuple[slice, ...]]]:
        """For each place in the window: its number as in `_winner`, the outputs it serves, the inputs it reads."""
        extents = site.inputs[0].shape[2:]
        for tap in itertools.product(*(range(k) for k in self.size)):
            code = 0
            into, source = [slice(None), slice(None)], [slice(None), slice(None)]
            for axis, k in enumerate(tap):
                code = code * extents[axis] + k * self.dilation[axis]
                shift, stride = k * self.dilation[axis] - self.padding[axis], self.stride[axis]
                first = max(0, -(shift // stride))
                last = max(first - 1, min(outputs[axis] - 1, (inputs[axis] - 1 - shift) // stride))
                into.append(slice(first, last + 1))
                start = first * stride + shift
                source.append(slice(start, max(start, start + stride * (last - first) + 1), stride))
            yield code, tuple(into), tuple(source)
