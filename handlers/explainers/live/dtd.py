"""Deep Taylor decomposition / layer-wise relevance propagation (selective-relevance paper, 2.2; ATR paper, 3.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, Target
from handlers.explainers.common.pixel_relevance import (
    ItemGroup,
    PropagationParameters,
    attribute_groups,
    pixel_map,
)
from handlers.explainers.explainer import Explainer
from handlers.models.action_model import ActionModel
from handlers.relevance import AlphaBeta, Gamma, Pass, relevance
from handlers.relevance.rules import ConvolutionRule

_OF_RULE = {"alpha": "alpha-beta", "beta": "alpha-beta", "gamma": "gamma"}


class DtdParameters(PropagationParameters):
    """Parameters of DTD. The pixels have the zB rule whatever the rule of the layers above."""

    rule: Annotated[
        Literal["z-plus", "alpha-beta", "gamma"], Field(description="rule of convolutions and linear layers")
    ] = "z-plus"
    alpha: Annotated[float, Field(gt=0, le=100, description="of alpha-beta; conserves for alpha - beta = 1")] = 2.0
    beta: Annotated[float, Field(ge=0, le=100, description="of alpha-beta; conserves for alpha - beta = 1")] = 1.0
    gamma: Annotated[float, Field(ge=0, le=1000, description="of gamma: how far positive evidence is favoured")] = 0.25

    @field_validator("alpha", "beta", "gamma")
    @classmethod
    def _belongs_to_the_rule(cls, value: float, info: ValidationInfo) -> float:
        needed = _OF_RULE[str(info.field_name)]
        if info.data.get("rule", needed) != needed:
            raise PydanticCustomError("rule", f"belongs to rule {needed!r}; the rule here is {info.data['rule']!r}")
        return value

    @property
    def of_layers(self) -> ConvolutionRule | None:
        """The rule for `relevance`; None for z+, with which models are traced."""
        match self.rule:
            case "alpha-beta":
                return AlphaBeta(self.alpha, self.beta)
            case "gamma":
                return Gamma(self.gamma)
            case _:
                return None


class Dtd(Explainer[DtdParameters]):
    """The target's logit shared out among the pixels; with a contrast class, the difference of the two logits."""

    name = "dtd"
    summary = "the logit shared out among the pixels by relevance propagation (z+ by default, zB at the input)"
    parameters = DtdParameters

    def propagates(self, parameters: DtdParameters) -> bool:
        return True

    def attribute(
        self, model: ActionModel, forward: Pass, items: Sequence[tuple[int, Target]], parameters: DtdParameters
    ) -> list[Attribution | RequestError]:
        def maps(group: ItemGroup) -> list[Attribution]:
            found = relevance(
                forward,
                group.target,
                group.contrast,
                items=group.clips,
                rule=parameters.of_layers,
                norm=parameters.norm_rule,
                add=parameters.add_rule,
            )
            defects = [None if math.isnan(defect) else defect for defect in found.defect.tolist()]
            return [pixel_map(values, defect) for values, defect in zip(found.values, defects, strict=True)]

        return attribute_groups(forward, items, maps)


EXPLAINER = Dtd()
