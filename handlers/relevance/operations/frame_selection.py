"""Operations that move frames by rules which depend on how many there are: exact, like all of reshaping.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from handlers.relevance.modules.layers import EvenFrames, SamePad
from handlers.relevance.operations.base import Operation, Portion, Site, at_steps, explicit, spanning
from handlers.relevance.operations.reshaping import Pad


@dataclass(eq=False)
class PadSame(Pad):
    """Zeros around so that a layer has ceil(extent / stride) outputs; see SamePad."""

    module: SamePad | None = None

    def amounts_for(self, shape: Sequence[int]) -> tuple[int, ...]:
        assert self.module is not None
        return self.module.amounts(shape)

    def around(self, steps: int) -> tuple[int, int]:
        amounts = self.amounts_for((1, 1, steps, 1, 1))
        return amounts[4], amounts[5]


@dataclass(eq=False)
class FrameSelection(Operation):
    """Some of the time steps; see EvenFrames."""

    module: EvenFrames
    kind = "frames taken"

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        result: Tensor = self.module(inputs[0])
        return result

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        shape = site.inputs[0].shape
        result = y.new_zeros((y.shape[0], *shape[1:]))
        result[:, :, self.module.positions(shape[2])] = y
        return (result,)

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        portion, x = portions[0], site.inputs[0]
        taken = self.module.positions(x.shape[2])
        if portion.values is None:
            steps = {portion.first + portion.step * position: t for t, position in enumerate(taken)}
            return at_steps(portion.frames, steps, site.output)
        dense_rows = spanning(explicit(portion, x), x.shape[2]).values
        assert dense_rows is not None
        return Portion(portion.frames, dense_rows[:, :, taken])
