"""A method that takes seconds to hours: a resumable iteration whose whole memory is a small serialisable state."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, Target
from handlers.explainers.explainer import Method, P
from handlers.models.action_model import ActionModel


@dataclass(frozen=True)
class Question(Generic[P]):
    """One clip to explain. clip: uint8 RGB [T, H, W, 3] at the model's size; logits: float32 [K] of this clip."""

    model: ActionModel
    clip: NDArray[np.uint8]
    logits: Tensor
    target: Target
    parameters: P
    seed: int


@dataclass(frozen=True)
class State:
    """How far an iteration has come: enough to go on in another process.

    iteration: done so far, of at most `iterations`. objective: last value of what is optimised, if anything is.
    arrays: tensors by name, a few MB at most. numbers: JSON values by name.
    """

    iteration: int
    iterations: int
    done: bool = False
    objective: float | None = None
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The state as safetensors; the numbers travel in its header."""
        rest = {
            "iteration": self.iteration,
            "iterations": self.iterations,
            "done": self.done,
            "objective": self.objective,
            "numbers": dict(self.numbers),
        }
        tensors = {name: tensor.detach().contiguous() for name, tensor in self.arrays.items()}
        return save(tensors, metadata={"state": json.dumps(rest)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises RequestError (field "state") for bytes that are no state."""
        try:
            arrays = load(data)
            length = int.from_bytes(data[:8], "little")
            rest = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["state"])
            return cls(arrays=arrays, **rest)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise RequestError(f"state: {error}", field="state", reason="BAD_STATE") from None


class IterativeExplainer(Method[P]):
    """A method that runs as a job: `start`, then `advance` until done; `result` at any time.

    Each call may happen in another process than the one before: all memory is the state.
    """

    @abstractmethod
    def start(self, question: Question[P]) -> State:
        """The state before the first iteration; cheap (at most a few forwards)."""

    @abstractmethod
    def advance(self, question: Question[P], state: State, seconds: float) -> State:
        """Iterate for about `seconds`: at least once, and not beyond `done`.

        The same state and number of iterations give the same result however the iterations are cut into calls.
        """

    @abstractmethod
    def result(self, question: Question[P], state: State) -> Attribution:
        """Read the explanation off a state as far as it has come, its details included."""
