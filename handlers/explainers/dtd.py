"""Deep Taylor decomposition / layer-wise relevance propagation (selective-relevance paper, 2.2; ATR paper, 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

from handlers.attribution import Attribution, Target
from handlers.explainers.explainer import Explainer, Parameters
from handlers.explainers.propagation import by_contrast, class_numbers, pixel_map
from handlers.models.action_model import ActionModel
from handlers.relevance import ForwardPass, relevance


class DtdParameters(Parameters):
    """DTD has none: z+ for convolutions, zB at the pixels."""


class Dtd(Explainer[DtdParameters]):
    """The target's logit shared out among the pixels; with a contrast class, the difference of the two logits."""

    name = "dtd"
    summary = "the logit shared out among the pixels by relevance propagation (z+, zB at the input)"
    parameters = DtdParameters

    def propagates(self, parameters: DtdParameters) -> bool:
        return True

    def attribute(
        self, model: ActionModel, forward: ForwardPass, items: Sequence[tuple[int, Target]], parameters: DtdParameters
    ) -> list[Attribution]:
        results: dict[int, Attribution] = {}
        for places, members in by_contrast(items):
            explained, contrast = class_numbers(forward, members)
            found = relevance(forward, explained, contrast, items=[index for index, _ in members])
            for row, place in enumerate(places):
                defect = float(found.defect[row])
                results[place] = pixel_map(found.values[row], None if defect != defect else defect)
        return [results[place] for place in range(len(items))]


EXPLAINER = Dtd()
