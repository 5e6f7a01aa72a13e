"""Guided Backprop at the pixels (selective-relevance paper, 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, Target
from handlers.explainers.common.pixel_relevance import ItemGroup, attribute_groups, no_rectifiers, pixel_map
from handlers.explainers.explainer import Explainer, Parameters
from handlers.models.action_model import ActionModel
from handlers.relevance import Pass, guided_backprop


class GuidedBackpropParameters(Parameters):
    """Guided Backprop has none."""


class GuidedBackprop(Explainer[GuidedBackpropParameters]):
    """Gradients that pass rectifiers only where activation and gradient are both positive."""

    name = "guided-backprop"
    summary = "gradients at the pixels that pass rectifiers only where they are positive"
    parameters = GuidedBackpropParameters

    def unsupported(self, model: ActionModel) -> str | None:
        return super().unsupported(model) or no_rectifiers(model)

    def propagates(self, parameters: GuidedBackpropParameters) -> bool:
        return True

    def attribute(
        self,
        model: ActionModel,
        forward: Pass,
        items: Sequence[tuple[int, Target]],
        parameters: GuidedBackpropParameters,
    ) -> list[Attribution | RequestError]:
        def maps(group: ItemGroup) -> list[Attribution]:
            found = guided_backprop(forward, group.target, group.contrast)
            return [pixel_map(found[clip]) for clip in group.clips]

        return attribute_groups(forward, items, maps)


EXPLAINER = GuidedBackprop()
