"""Whether the activations of each clip of a batch are finite, also where what is computed from them hides it.

A convolution that oneDNN rectifies answers 0 where its sum is NaN, and a rectifier makes 0 of minus infinity, so that
logits can be finite and mean nothing. Most steps cost nothing here: a bound on the magnitude of their output follows
from that of their input, and the numbers themselves are looked at only where it comes near the largest float.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from handlers.relevance.operations.frame_selection import FrameSelection
from handlers.relevance.operations.max_pool import MaxPool
from handlers.relevance.operations.pointwise import Add, Factor, Relu
from handlers.relevance.operations.reshaping import Concatenate, Identity, Pad, Permute, Reshape, Slice
from handlers.relevance.operations.weighted import Weighted
from handlers.relevance.program.graph import Step

_NOT_LARGER = (Concatenate, FrameSelection, Identity, MaxPool, Pad, Permute, Relu, Reshape, Slice)
_ROOM = 64
"""Bounds stay so many times below the largest float, for what rounding adds to sums."""


class Finiteness:
    """Watches one run of a program. Nothing is watched while a graph is exported, or on devices other than the CPU,
    where reading numbers back is expensive and rectifiers pass NaN on.

    broken: bool [B], the clips of the batch of which some activation is not finite; None: none of them.
    """

    def __init__(self, clips: int, given: Mapping[int, Any]) -> None:
        self.broken: Tensor | None = None
        self._clips = clips
        some = next(iter(given.values()))
        self._watches = some.device.type == "cpu" and not torch.compiler.is_exporting()
        self._largest: dict[int, float] = {}
        for number, value in given.items():
            self._look(number, value)

    def after(self, step: Step, values: Mapping[int, Any]) -> None:
        """Take note of what a step has made of its inputs."""
        output = values[step.number]
        if not self._watches or not isinstance(output, Tensor) or not output.is_floating_point():
            return
        bound = self._bound(step, values)
        if bound <= torch.finfo(output.dtype).max / _ROOM:
            self._largest[step.number] = bound
        elif isinstance(step.operation, Weighted) and step.operation.relu:
            kernel, bias = step.operation.folded
            self._look(step.number, kernel.apply(values[step.inputs[0]], bias))
        else:
            self._look(step.number, output)

    def _bound(self, step: Step, values: Mapping[int, Any]) -> float:
        """No value of the output is larger; NaN where only the values themselves can tell."""
        operation = step.operation
        inputs = [self._largest.get(number, math.nan) for number in step.inputs if isinstance(values[number], Tensor)]
        match operation:
            case Weighted():
                gain, offset = operation.gain
                limit = torch.finfo(values[step.number].dtype).max / _ROOM
                if not inputs[0] * gain + offset <= limit:
                    self._look(step.inputs[0], values[step.inputs[0]])
                return self._largest[step.inputs[0]] * gain + offset
            case Add():
                return sum(inputs)
            case Factor():
                return abs(operation.factor) * inputs[0]
            case _ if isinstance(operation, _NOT_LARGER):
                return math.nan if any(map(math.isnan, inputs)) else max(inputs)
            case _:
                return math.nan

    def _look(self, number: int, value: Tensor) -> None:
        """Measure a value's magnitude, and find the clips that break it."""
        if not self._watches:
            return
        low, high = float(value.amin()), float(value.amax())
        self._largest[number] = max(abs(low), abs(high))
        if not (math.isfinite(low) and math.isfinite(high)):
            self._largest[number] = math.nan
            own = ~value.reshape(self._clips if value.shape[0] % self._clips == 0 else 1, -1).isfinite().all(1)
            self.broken = own.expand(self._clips) if self.broken is None else self.broken | own
