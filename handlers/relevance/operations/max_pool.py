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

    The winner is kept as one small number per output, its place in the pooling window (its *tap*).
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
        return (Message(parts[0], parts[1], message.starts),)

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        portion = portions[0]
        if self.keeps_time and portion.values is None:
            return portion
        written = explicit(portion, site.inputs[0])
        if not self.keeps_time:
            written = spanning(written, site.inputs[0].shape[2])
        assert written.values is not None
        tap = self._tap(site)
        if self.keeps_time:
            tap = look(tap, written.starts, written.values.shape[2])
        shape = (portion.count, tap.shape[1], *tap.shape[2:])
        layout = torch.channels_last_3d if len(self.size) == 3 else torch.channels_last
        result = torch.empty(shape, dtype=written.values.dtype, device=tap.device, memory_format=layout).zero_()
        for number, into, source in self._taps(written.values.shape[2:], tap.shape[2:]):
            result[into] += written.values[source] * (tap[into] == number)
        return Portion(portion.count, result, written.starts)

    def _pull(self, y: Tensor, site: Site, message: Message) -> Tensor:
        shape = list(site.inputs[0].shape)
        tap = self._tap(site)
        if message.starts is not None:
            tap = look(tap, message.starts, y.shape[2])
            shape[2] = y.shape[2]
        elif tap.shape[0] not in (1, y.shape[0]):
            tap = tap.repeat(y.shape[0] // tap.shape[0], *([1] * (tap.dim() - 1)))
        layout = torch.channels_last_3d if len(self.size) == 3 else torch.channels_last
        result = torch.empty((y.shape[0], *shape[1:]), dtype=y.dtype, device=y.device, memory_format=layout).zero_()
        for number, source, into in self._taps(shape[2:], y.shape[2:]):
            result[into] += y[source] * (tap[source] == number)
        return result

    def _tap(self, site: Site) -> Tensor:
        """[m, C, ...] number of the winning tap, counted row-major over the pooling window."""
        if "tap" not in site.derived:
            index, shape = site.saved["winner"], site.inputs[0].shape[2:]
            tap = torch.zeros_like(index)
            for axis in reversed(range(len(shape))):
                position = index % shape[axis]
                index = index // shape[axis]
                outputs = torch.arange(tap.shape[2 + axis], device=tap.device) * self.stride[axis] - self.padding[axis]
                outputs = outputs.view(-1, *([1] * (len(shape) - 1 - axis)))
                weight = 1
                for later in self.size[axis + 1 :]:
                    weight *= later
                tap += (position - outputs) // self.dilation[axis] * weight
            layout = torch.channels_last_3d if len(self.size) == 3 else torch.channels_last
            site.derived["tap"] = tap.to(torch.int16).contiguous(memory_format=layout)
        result: Tensor = site.derived["tap"]
        return result

    def _taps(
        self, inputs: Sequence[int], outputs: Sequence[int]
    ) -> Iterator[tuple[int, tuple[slice, ...], tuple[slice, ...]]]:
        """For each tap its number, the outputs that it serves, and the inputs that it reads."""
        for number, tap in enumerate(itertools.product(*(range(k) for k in self.size))):
            into, source = [slice(None), slice(None)], [slice(None), slice(None)]
            for axis, k in enumerate(tap):
                shift = k * self.dilation[axis] - self.padding[axis]
                stride = self.stride[axis]
                first = max(0, -(-(-shift) // stride))
                last = max(first - 1, min(outputs[axis] - 1, (inputs[axis] - 1 - shift) // stride))
                into.append(slice(first, last + 1))
                start = first * stride + shift
                source.append(slice(start, max(start, start + stride * (last - first) + 1), stride))
            yield number, tuple(into), tuple(source)
