"""Methods whose value is a sum of terms that can be computed in any process, one after the other."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from handlers.explainers.common.time_slices import iterate
from handlers.explainers.explainer import P
from handlers.explainers.iteration import IterativeExplainer, Question, State


class AdditiveExplainer(IterativeExplainer[P]):
    """An iteration whose state is the sum of the terms so far. Term i depends on the question and on i alone."""

    @abstractmethod
    def count(self, question: Question[P]) -> int:
        """How many terms there are."""

    @abstractmethod
    def zero(self, question: Question[P]) -> Tensor:
        """The sum of no terms."""

    @abstractmethod
    def terms(self, question: Question[P]) -> Callable[[int], Tensor]:
        """The function that computes the i-th term; what the terms share is prepared here, once per block."""

    def start(self, question: Question[P]) -> State:
        return State(0, self.count(question), arrays={"sum": self.zero(question)})

    def advance(self, question: Question[P], state: State, seconds: float) -> State:
        term = self.terms(question)

        def step(before: State) -> State:
            iteration, total = before.iteration + 1, before.arrays["sum"] + term(before.iteration)
            return replace(before, iteration=iteration, done=iteration == before.iterations, arrays={"sum": total})

        return iterate(step, state, seconds)
