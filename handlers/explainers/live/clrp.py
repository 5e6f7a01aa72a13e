"""Contrastive layer-wise relevance propagation (ATR paper, 3.1 and Eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, Target
from handlers.explainers.common.pixel_relevance import (
    OWN_NEGATION,
    ItemGroup,
    PropagationParameters,
    attribute_groups,
    pixel_map,
    refused_contrasts,
)
from handlers.explainers.explainer import Explainer
from handlers.models.action_model import ActionModel
from handlers.relevance import Pass, relevance


class ClrpParameters(PropagationParameters):
    """Parameters of CLRP."""

    rectify: Annotated[bool, Field(description="keep the positive differences only, Eq. 2 as printed")] = True


class Clrp(Explainer[ClrpParameters]):
    """R - R-bar: both start from the logit, one through the class's weights, one through their negation."""

    name = "clrp"
    summary = "contrastive relevance: what speaks for the class beyond what would speak against it"
    parameters = ClrpParameters

    def propagates(self, parameters: ClrpParameters) -> bool:
        return True

    def attribute(
        self, model: ActionModel, forward: Pass, items: Sequence[tuple[int, Target]], parameters: ClrpParameters
    ) -> list[Attribution | RequestError]:
        def maps(group: ItemGroup) -> list[Attribution]:
            norm, add = parameters.norm_rule, parameters.add_rule
            found = relevance(forward, group.target, "negated", items=group.clips, norm=norm, add=add).values
            return [pixel_map(values) for values in (found.clamp(min=0) if parameters.rectify else found)]

        refused = refused_contrasts(items, f"{OWN_NEGATION}; ask dtd for class against class")
        return attribute_groups(forward, items, maps, refused)


EXPLAINER = Clrp()
