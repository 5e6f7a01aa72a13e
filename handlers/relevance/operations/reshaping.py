"""Operations that only move numbers: reshape, permute, slice, pad, concatenate, pass through. Exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from handlers.relevance.errors import BadClip
from handlers.relevance.messages import Message, dense, to_spans
from handlers.relevance.operations.base import Operation, Portion, Site, alike, explicit, joined, spanning


@dataclass(eq=False)
class Identity(Operation):
    """Dropout in evaluation, contiguous, clone: the relevance passes."""

    kind = "identity"
    keeps_time = True

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        result: Tensor = inputs[0]
        return result

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        return (y,)

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        return portions[0]


@dataclass(eq=False)
class Reshape(Operation):
    """View, flatten, squeeze, unsqueeze: other axes, same order. rebuild(x, *sizes) makes the output."""

    rebuild: Callable[..., Tensor]
    kind = "reshape"

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        return self.rebuild(*inputs)

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        shape = site.inputs[0].shape
        rows = y.shape[0] // site.output.shape[0]
        return (y.reshape(rows * shape[0], *shape[1:]), *(None for _ in site.inputs[1:]))


@dataclass(eq=False)
class Permute(Operation):
    """Axes in another order; the first stays first."""

    order: tuple[int, ...]
    kind = "permute"

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        result: Tensor = inputs[0].permute(self.order)
        return result

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        back = [self.order.index(axis) for axis in range(len(self.order))]
        return (y.permute(back),)


@dataclass(eq=False)
class Slice(Operation):
    """x[:, :, a:b:s]: part of every axis but the first; one slice per axis."""

    index: tuple[slice, ...]
    kind = "slice"

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        result: Tensor = inputs[0][self.index]
        return result

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        return (_scatter(y, self.index, site.inputs[0].shape[1:]),)

    def fitted(self, message: Message, site: Site) -> Message:
        longer = message.spans is not None and any(stop - first > 1 for first, stop in message.spans)
        return super().fitted(message, site) if longer and self.span(site.inputs[0].shape[2])[1] > 1 else message

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        message = self.fitted(message, site)
        if message.spans is None:
            return super().relevance(message, site)
        begin, step = self.span(site.inputs[0].shape[2])
        shape = site.inputs[0].shape
        sizes = (shape[1], message.sample.shape[2], *shape[3:])
        parts = [None if t is None else _scatter(t, self._space, sizes) for t in (message.slope, message.amount)]
        spans = ((begin + step * first, begin + step * (stop - 1) + 1, first < stop) for first, stop in message.spans)
        return (Message(parts[0], parts[1], tuple((a, b) if some else (0, 0) for a, b, some in spans)),)

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        portion = portions[0]
        first, step = self.span(site.inputs[0].shape[2])
        if portion.values is None:
            return Portion(portion.frames, None, None, portion.first + portion.step * first, portion.step * step)
        values = spanning(portion, site.inputs[0].shape[2]).values
        assert values is not None
        return Portion(portion.frames, values[self.index])

    @property
    def _space(self) -> tuple[slice, ...]:
        return tuple(slice(None) if axis == 2 else part for axis, part in enumerate(self.index))

    def span(self, steps: int) -> tuple[int, int]:
        """(first, stride) of the time steps taken out of so many."""
        first, _, step = self.time.indices(steps)
        return first, step

    @property
    def time(self) -> slice:
        """The slice of the time steps."""
        return self.index[2] if len(self.index) > 2 else slice(None)


@dataclass(eq=False)
class Pad(Operation):
    """Zeros around: amounts as in torch.nn.functional.pad, last axis first, none negative."""

    amounts: tuple[int, ...]
    kind = "pad"
    keeps_time = True

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        return torch.nn.functional.pad(inputs[0], self.amounts_for(inputs[0].shape))

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        return (self._crop(y, site, y.dim()),)

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        if message.spans is None:
            return super().relevance(message, site)
        steps = site.inputs[0].shape[2]
        front = self.around(steps)[0]
        moved = tuple((first - front, stop - front) for first, stop in message.spans)
        spans = tuple((min(max(0, first), steps), min(max(0, stop), steps)) for first, stop in moved)
        parts = [
            None if t is None else to_spans(self._crop(t, site, 2), moved, spans)
            for t in (message.slope, message.amount)
        ]
        found = Message(parts[0], parts[1], spans)
        return (found if found.sample.shape[2] else dense(found, steps),)

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        portion, amounts = portions[0], self.amounts_for(site.inputs[0].shape)
        front = self.around(site.inputs[0].shape[2])[0]
        if portion.values is None:
            return Portion(portion.frames, None, None, portion.first - portion.step * front, portion.step)
        if portion.spans is None:
            return Portion(portion.frames, torch.nn.functional.pad(portion.values, amounts))
        values = torch.nn.functional.pad(portion.values, amounts[:4])
        return Portion(portion.frames, values, tuple((first + front, stop + front) for first, stop in portion.spans))

    def amounts_for(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The amounts for an input of that shape."""
        return self.amounts

    def around(self, steps: int) -> tuple[int, int]:
        """Time steps added in front of and behind so many."""
        return (self.amounts[4], self.amounts[5]) if len(self.amounts) > 4 else (0, 0)

    def _crop(self, y: Tensor, site: Site, axes: int) -> Tensor:
        index = [slice(None)] * y.dim()
        amounts = self.amounts_for(site.inputs[0].shape)
        for pair in range(min(len(amounts) // 2, axes)):
            axis = y.dim() - 1 - pair
            index[axis] = slice(amounts[2 * pair], amounts[2 * pair] + site.inputs[0].shape[axis])
        return y[tuple(index)]


@dataclass(eq=False)
class Concatenate(Operation):
    """Tensors side by side along an axis other than the first: each gets back its own part."""

    axis: int
    kind = "concatenate"

    def __post_init__(self) -> None:
        self.keeps_time = self.axis != 2

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        try:
            return torch.cat(list(inputs), self.axis)
        except RuntimeError as error:
            raise BadClip(f"clip: the branches of the model do not fit together for this size: {error}") from error

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        return torch.split(y, [x.shape[self.axis] for x in site.inputs], self.axis)

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        frames = portions[0].frames
        if self.axis == 2:
            written = [spanning(explicit(p, x), x.shape[2]) for p, x in zip(portions, site.inputs, strict=True)]
            return Portion(frames, torch.cat([w.values for w in written if w.values is not None], 2))
        if alike(portions):
            return portions[0]
        values, spans = joined(portions, site.inputs)
        return Portion(frames, torch.cat(values, self.axis), spans)


def _scatter(y: Tensor, index: tuple[slice, ...], sizes: Sequence[int]) -> Tensor:
    result = y.new_zeros((y.shape[0], *sizes))
    result[index] = y
    return result
