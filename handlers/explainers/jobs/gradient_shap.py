"""GradientSHAP (Lundberg and Lee), by Captum."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from handlers.explainers.attribution import Attribution
from handlers.explainers.common.additive_terms import AdditiveExplainer
from handlers.explainers.common.baseline import BaselineParameters, baseline, pixel_volume
from handlers.explainers.common.objective import Objective
from handlers.explainers.iteration import Question, State

_GENERATORS = threading.Lock()


class GradientShapParameters(BaselineParameters):
    """Parameters of GradientSHAP."""

    samples: Annotated[int, Field(ge=1, le=10_000, description="random points between baseline and clip")] = 50
    noise: Annotated[
        float, Field(ge=0, le=1, description="standard deviation of the noise, in shares of the pixels' range")
    ] = 0.05


class GradientShap(AdditiveExplainer[GradientShapParameters]):
    """Gradients at noisy random points between the baseline and the clip, summed over colours; the mean over samples.

    Each sample is one call of Captum's GradientShap, seeded by the job's seed and the sample's number.
    """

    name = "gradient-shap"
    summary = "gradients at noisy random points between a baseline and the clip, by Captum"
    parameters = GradientShapParameters
    by_gradient = True

    def count(self, question: Question[GradientShapParameters]) -> int:
        return question.parameters.samples

    def zero(self, question: Question[GradientShapParameters]) -> Tensor:
        return torch.zeros(question.clip.shape[:3])

    def terms(self, question: Question[GradientShapParameters]) -> Callable[[int], Tensor]:
        from captum.attr import GradientShap as Captum  # late, for the reason given in integrated_gradients.py

        clip, nothing = question.model.prepare([question.clip]), baseline(question)
        # Captum's noise has one deviation for all channels, so it sees every channel on a scale from 0 to 1.
        rules = question.model.program.rules
        low, high = (torch.tensor(bound).reshape(1, -1, 1, 1, 1) for bound in (rules.low, rules.high))
        score, span = Objective(question), high - low
        captum = Captum(lambda scaled: score.logit(scaled * span + low))

        def term(sample: int) -> Tensor:
            with _seeded(question.seed, sample):
                found = captum.attribute(
                    (clip - low) / span,
                    baselines=(nothing - low) / span,
                    n_samples=1,
                    stdevs=question.parameters.noise,
                )
            summed: Tensor = found[0].detach().sum(0)
            return summed

        return term

    def result(self, question: Question[GradientShapParameters], state: State) -> Attribution:
        return pixel_volume(question, state.arrays["sum"] / max(1, state.iteration), state.done)


@contextmanager
def _seeded(seed: int, sample: int) -> Iterator[None]:
    """The global generators that Captum draws from, set for one sample and put back; one thread at a time."""
    own = int(np.random.SeedSequence((seed, sample)).generate_state(1)[0])
    with _GENERATORS, torch.random.fork_rng(devices=[]):
        before = np.random.get_state()
        torch.default_generator.manual_seed(own)
        np.random.seed(own)
        try:
            yield
        finally:
            np.random.set_state(before)


EXPLAINER = GradientShap()
