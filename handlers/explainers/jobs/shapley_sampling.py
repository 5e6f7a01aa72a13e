"""Shapley value sampling over frames (Castro et al.), by Captum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from handlers.explainers.attribution import Attribution, FrameAttribution
from handlers.explainers.common.additive_terms import AdditiveExplainer
from handlers.explainers.common.baseline import BaselineParameters, baseline, completeness
from handlers.explainers.common.objective import Objective
from handlers.explainers.iteration import Question, State


class ShapleySamplingParameters(BaselineParameters):
    """Parameters of Shapley value sampling."""

    samples: Annotated[int, Field(ge=1, le=10_000, description="random orders in which frames are added")] = 25


class ShapleySampling(AdditiveExplainer[ShapleySamplingParameters]):
    """Measures each frame's gain of the score when frames replace the baseline's in random order; the mean over orders.

    Captum's is the sampling; the orders are drawn from the job's seed, one order a term.
    """

    name = "shapley-sampling"
    summary = "what each frame adds to the score, frames added in random order, by Captum"
    parameters = ShapleySamplingParameters

    def count(self, question: Question[ShapleySamplingParameters]) -> int:
        return question.parameters.samples

    def zero(self, question: Question[ShapleySamplingParameters]) -> Tensor:
        return torch.zeros(len(question.clip))

    def terms(self, question: Question[ShapleySamplingParameters]) -> Callable[[int], Tensor]:
        from captum.attr import ShapleyValueSampling  # late, for the reason given in integrated_gradients.py

        clip, nothing, score = question.model.prepare([question.clip]), baseline(question), Objective(question)

        def seen(present: Tensor) -> Tensor:
            """[B] score with the frames present (1) or absent (0), [B, T]."""
            return score.logit(torch.where(present[:, None, :, None, None] > 0, clip, nothing))

        def term(sample: int) -> Tensor:
            def orders(elements: int, samples: int) -> Iterator[list[int]]:
                yield np.random.default_rng((question.seed, sample)).permutation(elements).tolist()

            captum = ShapleyValueSampling(seen)
            captum.permutation_generator = orders
            found: Tensor = captum.attribute(torch.ones(1, len(question.clip)), n_samples=1)
            return found[0]

        return term

    def result(self, question: Question[ShapleySamplingParameters], state: State) -> Attribution:
        values = state.arrays["sum"] / max(1, state.iteration)
        return FrameAttribution(values, "logit", details=completeness(question, values))


EXPLAINER = ShapleySampling()
