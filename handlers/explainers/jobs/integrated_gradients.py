"""Integrated Gradients (Sundararajan et al.), by Captum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from handlers.explainers.attribution import Attribution
from handlers.explainers.common.additive_terms import AdditiveExplainer
from handlers.explainers.common.baseline import BaselineParameters, baseline, pixel_volume
from handlers.explainers.common.objective import Objective
from handlers.explainers.iteration import Question, State


class IntegratedGradientsParameters(BaselineParameters):
    """Parameters of Integrated Gradients."""

    steps: Annotated[int, Field(ge=1, le=1000, description="points on the path, by Gauss-Legendre")] = 50


class IntegratedGradients(AdditiveExplainer[IntegratedGradientsParameters]):
    """Gradients on the straight path from the baseline to the clip, summed over colours.

    Captum's are the quadrature and each step's attribution; one step a term, so that a job may stop at any. The sum of
    the terms is what Captum returns for all steps at once.
    """

    name = "integrated-gradients"
    summary = "gradients summed along the path from a baseline to the clip, by Captum"
    parameters = IntegratedGradientsParameters
    by_gradient = True

    def count(self, question: Question[IntegratedGradientsParameters]) -> int:
        return question.parameters.steps

    def zero(self, question: Question[IntegratedGradientsParameters]) -> Tensor:
        return torch.zeros(question.clip.shape[:3])

    def terms(self, question: Question[IntegratedGradientsParameters]) -> Callable[[int], Tensor]:
        # Captum takes over a second to import; workers that answer live only never need it.
        from captum.attr import IntegratedGradients as Captum
        from captum.attr._utils.approximation_methods import approximation_parameters

        step_sizes, alphas = (of(question.parameters.steps) for of in approximation_parameters("gausslegendre"))
        clip, nothing = question.model.prepare([question.clip]), baseline(question)
        captum = Captum(Objective(question).logit)

        def term(step: int) -> Tensor:
            # The part of `attribute` that Captum, too, calls for some of the steps, when they do not fit in memory.
            (found,) = captum._attribute(
                (clip,), (nothing,), n_steps=1, step_sizes_and_alphas=([step_sizes[step]], [alphas[step]])
            )
            summed: Tensor = found[0].detach().sum(0)
            return summed

        return term

    def result(self, question: Question[IntegratedGradientsParameters], state: State) -> Attribution:
        return pixel_volume(question, state.arrays["sum"], state.done)


EXPLAINER = IntegratedGradients()
