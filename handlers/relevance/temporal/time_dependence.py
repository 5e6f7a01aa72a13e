"""Which time steps of a network depend on which others. Reads shapes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from handlers.relevance.operations.reshaping import Pad, Slice
from handlers.relevance.program.forward_pass import ForwardPass
from handlers.relevance.program.graph import Step


class TimeWindow(NamedTuple):
    """Time steps lo .. hi (inclusive); they may lie outside of the clip."""

    lo: float
    hi: float


NOWHERE = TimeWindow(1e9, -1e9)


class TimeDependence:
    """Finds which time steps of some steps' values depend on which, for clips of one shape. Keeps no activations."""

    def __init__(self, forward: ForwardPass, steps: Sequence[Step]) -> None:
        self._steps = steps
        values = {number: forward.value(number) for step in steps for number in (step.number, *step.inputs)}
        self._lengths = {
            number: int(value.shape[2]) if value.dim() == 5 else 1
            for number, value in values.items()
            if isinstance(value, Tensor)
        }

    def length(self, value: int) -> int:
        """Time steps of a value; 1 for what has no time axis."""
        return self._lengths.get(value, 1)

    def count(self, window: TimeWindow, value: int) -> int:
        """How many time steps of a value the window holds."""
        return max(0, int(min(self.length(value) - 1, window.hi)) - int(max(0, window.lo)) + 1)

    def below(self, start: Mapping[int, list[TimeWindow]], own: bool = False) -> dict[int, list[TimeWindow]]:
        """The windows that the start windows depend on, at all values below; own: that they answer for."""
        found = dict(start)
        for step in reversed(self._steps):
            if step.number not in found:
                continue
            above = found[step.number]
            for value in step.operation.signals(step.inputs):
                if value not in self._lengths:
                    continue
                windows = above if own and step.operation.aligned else self._read(step, above, value)
                found[value] = _hulls(found.get(value, windows), windows)
        return found

    def frames(self) -> dict[int, list[TimeWindow]]:
        """For every value the input frames that each of its time steps depends on."""
        found = {0: [TimeWindow(frame, frame) for frame in range(self.length(0))]}
        for step in self._steps:
            every = [TimeWindow(t, t) for t in range(self.length(step.number))]
            for value in step.operation.signals(step.inputs):
                if value in found:
                    windows = self._seen(found[value], self._read(step, every, value), every)
                    found[step.number] = _hulls(found.get(step.number, windows), windows)
        return found

    def _seen(self, below: list[TimeWindow], read: list[TimeWindow], every: list[TimeWindow]) -> list[TimeWindow]:
        if read is every and len(below) == len(every):
            return below
        last = len(below) - 1
        return [TimeWindow(below[_within(w.lo, last)].lo, below[_within(w.hi, last)].hi) for w in read]

    def _read(self, step: Step, windows: list[TimeWindow], value: int) -> list[TimeWindow]:
        """The time steps of one input that a step reads for windows of its output."""
        operation = step.operation
        if isinstance(operation, Slice):
            first, stride = operation.span(self.length(value))
            return [TimeWindow(first + stride * w.lo, first + stride * w.hi) for w in windows]
        if isinstance(operation, Pad):
            front = operation.around(self.length(value))[0]
            return [TimeWindow(w.lo - front, w.hi - front) for w in windows]
        kernel, stride = operation.time_kernel
        padding = operation.time_padding
        if operation.keeps_time or (kernel, stride, padding) == (1, 1, 0):
            return windows
        if kernel == 0:
            return [TimeWindow(0, self.length(value) - 1) if w.lo <= w.hi else w for w in windows]
        return [TimeWindow(w.lo * stride - padding, w.hi * stride - padding + kernel - 1) for w in windows]


def _within(step: float, last: int) -> int:
    return min(max(0, int(step)), last)


def _hulls(first: list[TimeWindow], second: list[TimeWindow]) -> list[TimeWindow]:
    if first is second:
        return first
    return [TimeWindow(min(a.lo, b.lo), max(a.hi, b.hi)) for a, b in zip(first, second, strict=True)]
