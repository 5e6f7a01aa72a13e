"""Mean and standard error of values that are estimated again and again, one estimate at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from handlers.explainers.iteration import State

_FEWEST = 4
"""Before so many estimates their spread says little."""


@dataclass(frozen=True)
class RunningStatistics:
    """count: estimates so far. mean, squares: float64, their mean and the sum of squared distances from it."""

    count: int
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, state: State) -> Self:
        """Read the statistics of a state's iterations, one estimate each."""
        nothing = torch.zeros((), dtype=torch.float64)
        arrays = state.arrays
        return cls(state.iteration, arrays.get("spread.mean", nothing), arrays.get("spread.squares", nothing))

    @property
    def arrays(self) -> Mapping[str, Tensor]:
        """For the state."""
        return {"spread.mean": self.mean, "spread.squares": self.squares}

    def with_one(self, estimate: Tensor) -> RunningStatistics:
        """With one more (Welford's way, which does not lose digits)."""
        apart = estimate - self.mean
        mean = self.mean + apart / (self.count + 1)
        return RunningStatistics(self.count + 1, mean, self.squares + apart * (estimate - mean))

    @property
    def error(self) -> Tensor | None:
        """The standard error of the mean; None for fewer than two estimates."""
        return (self.squares / (self.count * (self.count - 1))).sqrt() if self.count > 1 else None

    @property
    def largest(self) -> float | None:
        """The largest standard error of all values."""
        return None if self.error is None else float(self.error.max())

    def within(self, tolerance: float) -> bool:
        """Whether there are enough estimates, and all standard errors are below the tolerance."""
        return self.count >= _FEWEST and self.largest is not None and self.largest < tolerance

    def say(self) -> str:
        """For people."""
        return "of unknown standard error" if self.largest is None else f"standard error at most {self.largest:.2g}"
