"""Action temporal relevance (ATR paper, 3.2): how much every frame contributes to every output time step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from torch import Tensor

from handlers.errors import FAILED_PRECONDITION, RequestError
from handlers.explainers.attribution import Attribution, Details, Quality, RelevanceMatrix, Target
from handlers.explainers.common.pixel_relevance import (
    OWN_NEGATION,
    ItemGroup,
    PropagationParameters,
    attribute_groups,
    refused_contrasts,
)
from handlers.explainers.explainer import Explainer
from handlers.models.action_model import ActionModel
from handlers.relevance import Pass, temporal_relevance


class AtrParameters(PropagationParameters):
    """Parameters of ATR."""

    relevance: Annotated[
        Literal["lrp", "clrp"], Field(description="lrp: rows sum to their logits; clrp: contrastive")
    ] = "lrp"
    rectify: Annotated[
        Literal["none", "element", "frame"],
        Field(description="element: Eq. 2 as printed, what clrp has when left out; frame: another quantity"),
    ] = "none"
    share: Annotated[float, Field(gt=0, le=1, description="share of a row that its window must hold")] = 0.975

    blocks: Annotated[
        bool, Field(description="of networks with a slower pathway: sums over blocks of one of its frames each")
    ] = False

    @model_validator(mode="before")
    @classmethod
    def _rectify_contrasts(cls, given: Any) -> Any:
        """Un-rectified rows of CLRP sum to 0: lengths of them would be those of rounding errors."""
        if isinstance(given, dict) and given.get("relevance") == "clrp":
            return {"rectify": "element"} | given
        return given


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
    ) -> list[Attribution | RequestError]:
        rectify = None if parameters.rectify == "none" else parameters.rectify
        negated = parameters.relevance == "clrp"
        refused = refused_contrasts(items, f"{OWN_NEGATION}; use relevance lrp for two classes") if negated else {}
        for position, (clip, _) in enumerate(items):
            if reason := forward.no_frame_logits_of(clip):
                refused[position] = RequestError(
                    f"{self.name} cannot explain this clip: it has no logits per time step: {reason}",
                    reason="METHOD_UNSUPPORTED",
                    code=FAILED_PRECONDITION,
                )

        def matrices(group: ItemGroup) -> Iterator[Attribution]:
            found = temporal_relevance(
                forward,
                group.target,
                "negated" if negated else group.contrast,
                rectify,
                parameters.share,
                model.memory,
                items=group.clips,
                norm=parameters.norm_rule,
                add=parameters.add_rule,
                blocks=parameters.blocks,
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
                    details=Details(notes=_notes(rectify, row_logits, found.maximum[row])),
                    quality=Quality(conservation_defect=_defect(values, row_logits, group.contrast, rectify, negated)),
                )

        return attribute_groups(forward, items, matrices, refused)


def _notes(rectify: str | None, row_logits: Tensor, maximum: float | None) -> tuple[str, ...]:
    of_frames = "sums over frames are rectified, not single values: another quantity than Eq. 2 of the ATR paper"
    of_rows = "only time steps with a positive score count; the paper's max-ATR counts all"
    counts = maximum is not None and bool((row_logits <= 0).any())
    return (*([of_frames] if rectify == "frame" else []), *([of_rows] if counts else []))


def _defect(
    values: Tensor, row_logits: Tensor, contrast: Tensor | None, rectify: str | None, negated: bool
) -> float | None:
    """1 - sum(a) / sum(l) where rows sum to their logits in theory, else None."""
    whole = float(row_logits.sum())
    if negated or rectify or contrast is not None or whole == 0:
        return None
    return 1 - float(values.sum()) / whole


EXPLAINER = Atr()
