"""Contrastive layer-wise relevance propagation (ATR paper, 3.1 and Eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, Target
from handlers.explainers.common.pixel_relevance import by_contrast, class_numbers, pixel_map
from handlers.explainers.explainer import Explainer, Parameters
from handlers.models.action_model import ActionModel
from handlers.relevance import Pass, relevance


class ClrpParameters(Parameters):
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
    ) -> list[Attribution]:
        if any(target.contrast is not None for _, target in items):
            raise RequestError(
                "target.contrast: clrp contrasts the class with its own negation; ask dtd for class against class",
                field="target.contrast",
                reason="CONTRAST_UNSUPPORTED",
            )
        results: dict[int, Attribution] = {}
        for places, members in by_contrast(items):
            explained, _ = class_numbers(forward, members)
            found = relevance(forward, explained, "negated", items=[index for index, _ in members]).values
            if parameters.rectify:
                found = found.clamp(min=0)
            results.update((place, pixel_map(found[row])) for row, place in enumerate(places))
        return [results[place] for place in range(len(items))]


EXPLAINER = Clrp()
