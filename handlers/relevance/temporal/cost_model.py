"""Estimates the cost of carrying rows down and frames up at every step, to choose where they meet."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from handlers.relevance.errors import MemoryLimitExceeded, RelevanceError
from handlers.relevance.operations.frame_selection import FrameSelection
from handlers.relevance.operations.pointwise import Norm
from handlers.relevance.operations.reshaping import Concatenate, Identity, Pad, Permute, Reshape, Slice
from handlers.relevance.operations.weighted import Weighted
from handlers.relevance.program.forward_pass import ForwardPass
from handlers.relevance.program.graph import Step
from handlers.relevance.temporal.frame_fractions import ancestors
from handlers.relevance.temporal.time_dependence import NOWHERE, TimeDependence, TimeWindow

OPERATIONS_PER_BYTE = 3.0
"""Arithmetic that a machine does in the time in which it moves one byte: 80 Gflop/s against 25 GB/s per core, for part
of what is counted here stays in the caches. Fitted to what the steps of three networks took."""
STRIDED_TRANSPOSE = 1.2
"""A transposed convolution with a stride takes so much longer than the convolution itself."""


class CostModel:
    """Time steps, work and memory of temporal relevance for clips of one shape. Keeps no activations."""

    spared: int | None
    """A frame that every row sees, so that its column can be what the others leave; None where there is none."""

    anchors: tuple[float, ...]
    """[T'] centre of every row's receptive field, in input frames."""

    def __init__(self, forward: ForwardPass) -> None:
        self._heads = forward.head.values
        needed = ancestors(forward.graph, set(self._heads))
        self._steps = [s for s in forward.graph.steps if s.number in needed and s.carries]
        self._last_read = {v: s.number for s in self._steps for v in s.operation.signals(s.inputs)}
        self._rows = forward.frame_logits.shape[1]
        self._frames = forward.clip.shape[2]
        self._dependence = TimeDependence(forward, self._steps)
        self._length = self._dependence.length
        self._taken = {v: forward.rows_of(v, self._length(v), self._rows) for v in self._heads}
        self._work = {s.number: _arithmetic(s, forward.value(s.number)) for s in self._steps}
        values = {v: forward.value(v) for s in self._steps for v in (s.number, *s.inputs)}
        self._bytes_per_step = {
            v: x.numel() / x.shape[0] * x.element_size() / self._length(v)
            for v, x in values.items()
            if isinstance(x, Tensor)
        }
        rows = self._dependence.below(self._starts())
        self._down = {value: [self._dependence.count(w, value) for w in windows] for value, windows in rows.items()}
        self._sum_down = {value: sum(steps) for value, steps in self._down.items()}
        self.spared = self._spared(rows.get(0, []))
        frames = self._dependence.frames()
        self._up = {value: [self._carried(window) for window in windows] for value, windows in frames.items()}
        self._sum_up = {value: sum(steps) if max(steps) > 1 else 0 for value, steps in self._up.items()}
        self.anchors = self._anchors()
        self._best: dict[int, int] = {}

    @classmethod
    def of(cls, forward: ForwardPass) -> CostModel:
        """The costs of one forward pass, worked out once for all clips of its shape."""
        key = ("costs", forward.clip.shape[1:], forward.clip.dtype)
        found: CostModel = forward.graph.derived.get(key) or forward.graph.derived.setdefault(key, cls(forward))
        return found

    def cuts(self) -> list[int]:
        """Step numbers at which rows and frames can meet; 0 (at the clip) always can."""
        amounts = self._amounts()
        found, possible = [0], True
        for step in self._steps:
            possible = possible and step.operation.has_portions
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
        if memory not in self._best:
            self._best[memory] = self._cheapest(memory)
        return self._best[memory]

    def _cheapest(self, memory: int) -> int:
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
        values = {v for s in self._steps if s.number > cut for v in (s.number, *s.inputs) if v in self._down}
        per_row = max((4 * self._bytes_per_step.get(v, 0.0) * max(self._down[v]) for v in values), default=0)
        spare = memory / 2 if cut else memory
        if per_row > spare:
            raise MemoryLimitExceeded(
                f"memory: one row needs {math.ceil(per_row / 2**20)} MiB, {int(spare) >> 20} MiB are allowed; "
                "allow more, or use fewer or smaller frames"
            )
        return max(1, min(self._rows, int(spare // per_row) if per_row else self._rows))

    def _spared(self, rows: list[TimeWindow]) -> int | None:
        """The middlemost frame that every row sees, of several; it would be carried furthest, and need not be."""
        first = max((0, *(window.lo for window in rows)))
        last = min((self._frames - 1, *(window.hi for window in rows)))
        middle = (self._frames - 1) // 2
        return int(min(max(first, middle), last)) if rows and first <= last and self._frames > 1 else None

    def _carried(self, window: TimeWindow) -> int:
        """How many frames of a window are carried."""
        spared = self.spared is not None and window.lo <= self.spared <= window.hi
        return int(window.hi - window.lo) + (0 if spared else 1)

    def _anchors(self) -> tuple[float, ...]:
        fastest = max(self._heads, key=self._length)
        start = {fastest: [TimeWindow(row, row) for row in range(self._rows)]}
        windows = self._dependence.below(start, own=True).get(0, [TimeWindow(0, self._frames - 1)] * self._rows)
        return tuple((window.lo + window.hi) / 2 for window in windows)

    def _starts(self) -> dict[int, list[TimeWindow]]:
        """The rows at the features of every branch."""
        starts = {}
        for value in self._heads:
            starts[value] = [NOWHERE] * self._rows
            for slot, row in enumerate(self._taken[value]):
                starts[value][row] = TimeWindow(slot, slot)
        return starts

    # -- work and memory -----------------------------------------------------------------------------------------

    def _step_down(self, step: Step) -> float:
        work = self._work[step.number]
        if isinstance(step.operation, Weighted) and step.operation.weights.geometry is not None:
            strides = step.operation.weights.geometry.stride
            work *= STRIDED_TRANSPOSE if max(strides) > 1 else 1.0
        share = self._sum_down.get(step.number, 0) / self._length(step.number)
        moved = 3 * self._bytes_down(step.number) + sum(self._bytes_down(v) for v in step.inputs)
        return work * share + OPERATIONS_PER_BYTE * moved

    def _step_up(self, step: Step) -> float:
        if not self._bytes_up(step.number):
            return 0.0
        share = sum(self._up[step.inputs[0]]) / self._length(step.inputs[0])
        moved = 2 * self._bytes_up(step.number) + sum(self._bytes_up(v) for v in step.inputs)
        return self._work[step.number] * share + OPERATIONS_PER_BYTE * moved

    def _bytes_down(self, value: int) -> float:
        return self._bytes_per_step.get(value, 0.0) * self._sum_down.get(value, 0)

    def _bytes_up(self, value: int) -> float:
        """Nothing is carried while every unit belongs to one frame."""
        return self._bytes_per_step.get(value, 0.0) * self._sum_up.get(value, 0)

    def _crossing(self, cut: int) -> set[int]:
        crossing = {value for value, last in self._last_read.items() if value <= cut < last}
        return crossing | {value for value in self._heads if value <= cut}

    def _amounts(self) -> set[int]:
        """Values at which relevance itself may arrive (below a batch norm that follows no convolution)."""
        found: set[int] = set()
        passing = (Identity, Slice, Pad, Permute, Reshape, Concatenate, FrameSelection)
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


def _arithmetic(step: Step, output: Any) -> float:
    """Arithmetic of the step itself on one clip."""
    if not isinstance(step.operation, Weighted):
        return 0.0
    return float(2 * output.numel() / output.shape[0] * step.operation.weights.weight[0].numel())
