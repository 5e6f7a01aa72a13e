"""Guided Backprop at the pixels (selective-relevance paper, 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from handlers.attribution import Attribution, Target
from handlers.explainers.explainer import Explainer, Parameters
from handlers.explainers.propagation import by_contrast, class_numbers, pixel_map
from handlers.models.action_model import ActionModel
from handlers.relevance import ForwardPass, guided_backprop


class GuidedBackpropParameters(Parameters):
    """Guided Backprop has none."""


def guided_gradients(forward: ForwardPass, items: Sequence[tuple[int, Target]]) -> list[Tensor]:
    """Guided gradients at the pixels, float [C, T, H, W] per item, for any targets."""
    results: dict[int, Tensor] = {}
    for places, members in by_contrast(items):
        gradients = guided_backprop(forward, *class_numbers(forward, members))
        results.update((place, gradients[index]) for place, (index, _) in zip(places, members, strict=True))
    return [results[place] for place in range(len(items))]


class GuidedBackprop(Explainer[GuidedBackpropParameters]):
    """Gradients that pass rectifiers only where activation and gradient are both positive."""

    name = "guided-backprop"
    summary = "gradients at the pixels that pass rectifiers only where they are positive"
    parameters = GuidedBackpropParameters

    def propagates(self, parameters: GuidedBackpropParameters) -> bool:
        return True

    def attribute(
        self,
        model: ActionModel,
        forward: ForwardPass,
        items: Sequence[tuple[int, Target]],
        parameters: GuidedBackpropParameters,
    ) -> list[Attribution]:
        return [pixel_map(gradient) for gradient in guided_gradients(forward, items)]


EXPLAINER = GuidedBackprop()
