"""What carrying rows down and frames up costs at every step, to choose where they meet."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from handlers.relevance.ascent import ancestors, crossing
from handlers.relevance.errors import MemoryLimitExceeded, RelevanceError
from handlers.relevance.forward_pass import ForwardPass
from handlers.relevance.graph import Step
from handlers.relevance.operations.pointwise import Norm
from handlers.relevance.operations.sampled import Take
from handlers.relevance.operations.structure import Concatenate, Identity, Pad, Permute, Reshape, Slice
from handlers.relevance.operations.weighted import Weighted

OPERATIONS_PER_BYTE = 10.0
"""Arithmetic that a machine does in the time in which it moves one byte: 60 Gflop/s against 6 GB/s per core."""
STRIDED_TRANSPOSE = 1.6
"""A transposed convolution with a stride takes so much longer than the convolution itself."""


class Window(NamedTuple):
    """Time steps lo .. hi (inclusive) that a row or frame touches."""

    lo: float
    hi: float


class Costs:
    """Widths, work and memory of one forward pass's temporal relevance. Reads shapes only."""

    def __init__(self, forward: ForwardPass) -> None:
        self._forward = forward
        self._graph = forward.graph
        self._needed = ancestors(self._graph, set(forward.head.values))
        self._steps = [s for s in self._graph.steps if s.number in self._needed and s.carries]
        self._rows = forward.frame_logits.shape[1]
        self._frames = forward.clip.shape[2]
        self._down = self._widths_down()
        self._up = self._widths_up()

    @property
    def sees_last(self) -> bool:
        """Whether the first row, and so every row, sees the last of several frames."""
        reached = self._reach({value: Window(0, 0) for value in self._forward.head.values})
        return self._frames > 1 and reached.get(0, Window(0, 0)).hi >= self._frames - 1

    def anchors(self) -> tuple[float, ...]:
        """[T'] centre of every row's receptive field, in input frames."""
        step = max((self._forward.value(v) for v in self._forward.head.values), key=lambda x: int(x.shape[2]))
        fastest = next(v for v in self._forward.head.values if self._forward.value(v) is step)
        centres = []
        for row in range(self._rows):
            window = self._reach({fastest: Window(row, row)}, own=True).get(0, Window(0, self._frames - 1))
            centres.append((window.lo + window.hi) / 2)
        return tuple(centres)

    def cuts(self) -> list[int]:
        """Step numbers at which rows and frames can meet; 0 (at the clip) always can."""
        amounts = self._amounts()
        found, possible = [0], True
        for step in self._steps:
            possible = possible and step.operation.rises
            if not possible:
                break
            if not any(value in amounts for value in self._crossing(step.number)):
                found.append(step.number)
        return found

    def checked(self, cut: int) -> int:
        """The cut if it is possible. Raises RelevanceError."""
        if cut not in self.cuts():
            raise RelevanceError(f"meeting: rows and frames cannot meet at step {cut}; possible are {self.cuts()}")
        return cut

    def best(self, memory: int) -> int:
        """The cheapest possible cut of which the upward half fits into half of the memory."""
        up = down = peak = 0.0
        costs = {}
        total_down = sum(self._step_down(step) for step in self._steps)
        possible = set(self.cuts())
        costs[0] = total_down
        for step in self._steps:
            up += self._step_up(step)
            down += self._step_down(step)
            peak = max(peak, 3 * self._bytes_up(step.number))
            if step.number in possible and peak <= memory / 2:
                meeting = sum(self._bytes_up(v) + self._bytes_down(v) for v in self._crossing(step.number))
                costs[step.number] = up + total_down - down + OPERATIONS_PER_BYTE * meeting
        return min(costs, key=lambda cut: (costs[cut], cut))

    def rows_at_once(self, cut: int, memory: int) -> int:
        """How many rows may be carried together. Raises MemoryLimitExceeded when not even one fits."""
        peak = max(
            (4 * self._bytes_down(v) for s in self._steps if s.number > cut for v in (s.number, *s.inputs)), default=0
        )
        per_row = peak / self._rows
        spare = memory / 2 if cut else memory
        if per_row > spare:
            raise MemoryLimitExceeded(
                f"memory: one row needs {math.ceil(per_row / 2**20)} MiB, {int(spare) >> 20} MiB are allowed; "
                "allow more, or use fewer or smaller frames"
            )
        return max(1, min(self._rows, int(spare // per_row) if per_row else self._rows))

    # -- widths ------------------------------------------------------------------------------------------------

    def _widths_down(self) -> dict[int, int]:
        """Time steps that one row spans at every value."""
        values = self._forward.head.values
        reached = self._reach({value: Window(0, 0) for value in values})
        return {value: min(self._length(value), int(w.hi - w.lo) + 1) for value, w in reached.items()}

    def _widths_up(self) -> dict[int, int]:
        """Time steps that one frame spans at every value; 0 while every unit belongs to one frame."""
        found = {0: 0}
        for step in self._steps:
            inputs = [found[v] for v in step.inputs if v in found]
            kernel, stride = step.operation.time_kernel
            width = max(inputs, default=0)
            if step.operation.keeps_time or isinstance(step.operation, Slice | Pad):
                pass
            elif kernel == 0:
                width = self._length(step.number)
            elif width or kernel > 1:
                width = (max(1, width) - 1 + kernel - 1) // stride + 1
            found[step.number] = min(self._length(step.number), width)
        return found

    def _reach(self, start: dict[int, Window], own: bool = False) -> dict[int, Window]:
        """The windows that the start windows depend on, at all values below; own: that they answer for."""
        found = dict(start)
        for step in reversed(self._steps):
            if step.number not in found:
                continue
            above = found[step.number]
            for value in step.operation.signals(step.inputs):
                tensor = self._forward.value(value)
                if not isinstance(tensor, Tensor):
                    continue
                window = above if own and step.operation.aligned else self._below(step, above, value)
                old = found.get(value, window)
                found[value] = Window(min(old.lo, window.lo), max(old.hi, window.hi))
        return found

    def _below(self, step: Step, window: Window, value: int) -> Window:
        operation = step.operation
        if isinstance(operation, Slice):
            first, stride = operation.span(self._forward.value(value).shape[2])
            return Window(first + stride * window.lo, first + stride * window.hi)
        if isinstance(operation, Pad):
            front = operation.around(self._length(value))[0]
            return Window(window.lo - front, window.hi - front)
        if operation.keeps_time:
            return window
        kernel, stride = operation.time_kernel
        if kernel == 0:
            return Window(0, self._length(value) - 1)
        padding = operation.time_padding
        return Window(window.lo * stride - padding, window.hi * stride - padding + kernel - 1)

    def _length(self, value: int) -> int:
        tensor = self._forward.value(value)
        return int(tensor.shape[2]) if isinstance(tensor, Tensor) and tensor.dim() == 5 else 1

    # -- work and memory -----------------------------------------------------------------------------------------

    def _step_down(self, step: Step) -> float:
        work = self._work(step)
        if isinstance(step.operation, Weighted) and step.operation.weights.geometry is not None:
            strides = step.operation.weights.geometry.stride
            work *= STRIDED_TRANSPOSE if max(strides) > 1 else 1.0
        share = self._rows * self._down.get(step.number, 0) / self._length(step.number)
        moved = 3 * self._bytes_down(step.number) + sum(self._bytes_down(v) for v in step.inputs)
        return work * share + OPERATIONS_PER_BYTE * moved

    def _step_up(self, step: Step) -> float:
        if not self._up[step.number]:
            return 0.0
        source = step.inputs[0]
        share = self._frames * max(1, self._up[source]) / self._length(source)
        moved = 2 * self._bytes_up(step.number) + sum(self._bytes_up(v) for v in step.inputs if v in self._up)
        return self._work(step) * share + OPERATIONS_PER_BYTE * moved

    def _work(self, step: Step) -> float:
        """Arithmetic of the step itself on one clip."""
        if not isinstance(step.operation, Weighted):
            return 0.0
        output = self._forward.value(step.number)
        return float(2 * output[0].numel() * step.operation.weights.weight[0].numel())

    def _bytes_down(self, value: int) -> float:
        return self._bytes_per_step(value) * self._rows * self._down.get(value, 0)

    def _bytes_up(self, value: int) -> float:
        return self._bytes_per_step(value) * self._frames * self._up.get(value, 0)

    def _bytes_per_step(self, value: int) -> float:
        tensor = self._forward.value(value)
        if not isinstance(tensor, Tensor):
            return 0.0
        return float(tensor[0].numel() * tensor.element_size() / self._length(value))

    def _crossing(self, cut: int) -> set[int]:
        return crossing(self._graph, cut, self._needed) | {v for v in self._forward.head.values if v <= cut}

    def _amounts(self) -> set[int]:
        """Values at which relevance itself may arrive (below a batch norm that follows no convolution)."""
        found: set[int] = set()
        passing = (Identity, Slice, Pad, Permute, Reshape, Concatenate, Take)
        for step in reversed(self._steps):
            moves = isinstance(step.operation, passing) or step.operation.kind in (
                "relu",
                "max pool",
                "factor",
                "swish",
                "gate",
            )
            if isinstance(step.operation, Norm) or (moves and step.number in found):
                found.update(step.inputs)
        return found
