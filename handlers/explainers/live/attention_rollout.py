"""Attention rollout (Abnar and Zuidema, 2020, "Quantifying Attention Flow in Transformers")."""

from __future__ import annotations

from collections.abc import Sequence

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, Details, SaliencyVolume, Target
from handlers.explainers.common.pixel_relevance import refused_contrasts
from handlers.explainers.explainer import Explainer, Parameters
from handlers.models.action_model import ActionModel
from handlers.relevance import Pass

_NOTE = "attention rollout says where the model looks, not for which class: it is the same for all classes"


class AttentionRolloutParameters(Parameters):
    """Attention rollout has none."""


class AttentionRollout(Explainer[AttentionRolloutParameters]):
    """Attention of all layers multiplied: the share of each patch in what the head reads.

    As published: heads are averaged, and half of what a block puts out counts as passed by its attention. Beyond the
    paper: divided attention counts as two such steps; where the head reads the mean of all tokens, each has an equal
    share of it; an attentive pooler's question takes its own attention. The class token's share is left out of the map
    and reported as a measure. Only the head's row of the product is computed, so no N x N matrices are multiplied.
    """

    name = "attention-rollout"
    summary = "where a transformer looks: the attention of all layers multiplied; the same for every class"
    parameters = AttentionRolloutParameters

    def unsupported(self, model: ActionModel) -> str | None:
        return None if model.tokens is not None else "it has no attention between the patches of a clip"

    def layers(self, model: ActionModel, parameters: AttentionRolloutParameters) -> tuple[str, ...]:
        return () if model.tokens is None else ("tokens", *(layer for layer, _ in model.tokens.reads()))

    def attribute(
        self,
        model: ActionModel,
        forward: Pass,
        items: Sequence[tuple[int, Target]],
        parameters: AttentionRolloutParameters,
    ) -> list[Attribution | RequestError]:
        assert model.tokens is not None
        activations = {layer: forward.activation(layer) for layer in self.layers(model, parameters)}
        shares = model.tokens.rollout(activations)
        maps = model.tokens.on_grid(shares[..., None])[:, 0]
        frames = model.frame_positions("tokens", forward.clip.shape[2], maps.shape[1])
        refused = refused_contrasts(items, f"{_NOTE}; ask grad-cam for class against class")
        return [
            refused.get(position)
            or SaliencyVolume(
                maps[index],
                frames,
                "tokens",
                details=Details(notes=(_NOTE,), measures={"share_of_patches": float(maps[index].sum())}),
            )
            for position, (index, _) in enumerate(items)
        ]


EXPLAINER = AttentionRollout()
