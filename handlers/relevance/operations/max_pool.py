"""Max pooling under winner-take-all: all relevance goes to the unit that won (the first one where several tie)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from handlers.relevance.messages import Message, laid, look
from handlers.relevance.operations.base import Portion, Site, explicit, spanning, spread
from handlers.relevance.operations.pooling import Pooling


@dataclass(eq=False)
class MaxPool(Pooling):
    """Max pooling over two or three axes, parameters as in torch.nn.MaxPool3d.

    The winner is kept as one number per output: its index in the input.
    """

    dilation: tuple[int, ...]
    ceil_mode: bool
    kind = "max pool"

    @property
    def time_kernel(self) -> tuple[int, int]:
        return (self.dilation[0] * (self.size[0] - 1) + 1, self.stride[0]) if len(self.size) == 3 else (0, 1)

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
        return (Message(parts[0], parts[1], message.spans, fresh=True),)

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
            winner = look(winner, written.spans)
        shape = (written.values.shape[0], *winner.shape[1:])
        result = self._lines(written.values).gather(2, self._lines(winner).expand(shape[0], -1, -1))
        return Portion(portion.frames, self._from_lines(result, shape), written.spans)

    def _pull(self, y: Tensor, site: Site, message: Message) -> Tensor:
        shape = [y.shape[0], *site.inputs[0].shape[1:]]
        if self.keeps_time:
            shape[2] = y.shape[2]
        values = self._lines(y)
        result = values.new_zeros((*values.shape[:2], math.prod(shape[1:]) // values.shape[1]))
        if message.spans is None or torch.compiler.is_exporting():
            winner = self._lines(spread(self._winner(site), message))
            return self._from_lines(result.scatter_add_(2, winner.expand_as(values), values), shape)
        winner = self._lines(self._winner(site))
        for at, (first, stop) in laid(message.spans):
            own = slice(at, at + stop - first)
            result[:, own].scatter_add_(2, winner[:, first:stop], values[:, own])
        return self._from_lines(result, shape)

    def _winner(self, site: Site) -> Tensor:
        """[m, C, ...] where in the winner's line (see `_lines`) of the input it stands."""
        if "winner" not in site.derived:
            index, shape = site.saved["winner"], site.inputs[0].shape
            if self.keeps_time:
                index = index % (shape[3] * shape[4])
            channel = torch.arange(shape[1], device=index.device).view(-1, *([1] * (index.dim() - 2)))
            layout = torch.channels_last_3d if len(self.size) == 3 else torch.channels_last
            site.derived["winner"] = (index * shape[1] + channel).contiguous(memory_format=layout)
        result: Tensor = site.derived["winner"]
        return result

    def _lines(self, tensor: Tensor) -> Tensor:
        """[N, C, ...] as [N, lines, units], channels last: one line for every time step, or for all there is."""
        lines = tensor.shape[2] if self.keeps_time else 1
        return tensor.movedim(1, -1).reshape(tensor.shape[0], lines, -1)

    def _from_lines(self, lines: Tensor, shape: Sequence[int]) -> Tensor:
        """The inverse of `_lines`, as a view."""
        return lines.view(shape[0], *shape[2:], shape[1]).movedim(-1, 1)
