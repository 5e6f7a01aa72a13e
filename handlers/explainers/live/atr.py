"""Action temporal relevance (ATR paper, 3.2): how much every frame contributes to every output time step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from handlers.explainers.attribution import Attribution, Quality, RelevanceMatrix, Target
from handlers.explainers.common.pixel_relevance import ItemGroup, attribute_groups, refuse_contrast
from handlers.explainers.explainer import Explainer, Parameters
from handlers.models.action_model import ActionModel
from handlers.relevance import Pass, temporal_relevance


class AtrParameters(Parameters):
    """Parameters of ATR."""

    relevance: Annotated[
        Literal["lrp", "clrp"], Field(description="lrp: rows sum to their logits; clrp: contrastive")
    ] = "lrp"
    rectify: Annotated[
        Literal["none", "element", "frame"], Field(description="element: Eq. 2 as printed; frame: another quantity")
    ] = "none"
    share: Annotated[float, Field(gt=0, le=1, description="share of a row that its window must hold")] = 0.975


class Atr(Explainer[AtrParameters]):
    """The relevance matrix a_ij, the length of every row, and their average and maximum."""

    name = "atr"
    summary = "how much every frame contributes to every output time step; how many frames the model needs"
    parameters = AtrParameters
    goes_first = True

    def unsupported(self, model: ActionModel) -> str | None:
        reason = model.program.no_frame_logits
        return super().unsupported(model) or (f"it has no logits per time step: {reason}" if reason else None)

    def propagates(self, parameters: AtrParameters) -> bool:
        return True

    def attribute(
        self, model: ActionModel, forward: Pass, items: Sequence[tuple[int, Target]], parameters: AtrParameters
    ) -> list[Attribution]:
        rectify = None if parameters.rectify == "none" else parameters.rectify
        negated = parameters.relevance == "clrp"
        if negated:
            refuse_contrast(items, "use relevance lrp for two classes")

        def matrices(group: ItemGroup) -> Iterator[Attribution]:
            found = temporal_relevance(
                forward,
                group.target,
                "negated" if negated else group.contrast,
                rectify,
                parameters.share,
                model.memory,
                items=group.clips,
            )
            for row in range(len(group.clips)):
                values, row_logits = found.values[row], found.row_logits[row]
                yield RelevanceMatrix(
                    values=values,
                    frame_positions=found.anchors,
                    row_logits=row_logits,
                    row_lengths=tuple(int(length) for length in found.lengths[row]),
                    average_length=found.average[row],
                    maximum_length=found.maximum[row],
                    undefined=found.reasons[row],
                    quality=Quality(conservation_defect=_defect(values, row_logits, group.contrast, rectify, negated)),
                )

        return attribute_groups(forward, items, matrices)


def _defect(
    values: Tensor, row_logits: Tensor, contrast: Tensor | None, rectify: str | None, negated: bool
) -> float | None:
    """1 - sum(a) / sum(l) where rows sum to their logits in theory, else None."""
    whole = float(row_logits.sum())
    if negated or rectify or contrast is not None or whole == 0:
        return None
    return 1 - float(values.sum()) / whole


EXPLAINER = Atr()
