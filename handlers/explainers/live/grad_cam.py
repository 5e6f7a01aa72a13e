"""Grad-CAM per time step (temporal-masks paper, Eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, SaliencyVolume, Target
from handlers.explainers.explainer import Explainer, Parameters
from handlers.models.action_model import ActionModel
from handlers.relevance import Pass


class GradCamParameters(Parameters):
    """Parameters of Grad-CAM."""

    pool_time: Annotated[bool, Field(description="average the gradients over time too")] = False
    signed: Annotated[bool, Field(description="keep negative evidence (no ReLU)")] = False
    layer: Annotated[str | None, Field(description="layer to read; the model's own when left out")] = None


def grad_cam(activation: Tensor, gradient: Tensor, *, pool_time: bool = False, signed: bool = False) -> Tensor:
    """Activations weighted by their spatially averaged gradients, summed over channels.

    activation, gradient: float [B, C, T', H', W']. Returns float [B, T', H', W'], >= 0 unless signed:
    relu(sum_k w_kt A_k) with w_kt = mean_hw dy/dA_kt (Eq. 2); pool_time averages w over t as well, as the
    3-D extension in the selective-relevance paper does.
    """
    over = (2, 3, 4) if pool_time else (3, 4)
    weights = gradient.mean(dim=over, keepdim=True)
    heat = (weights * activation).sum(dim=1)
    return heat if signed else heat.clamp_min_(0)


class GradCam(Explainer[GradCamParameters]):
    """Where the class's evidence lies on the grid of one layer.

    Of a transformer the layer is its tokens before the last attention, laid out as their patches lie in the clip.
    """

    name = "grad-cam"
    summary = "activations of one layer weighted by their gradients, per time step"
    parameters = GradCamParameters
    by_gradient = True

    def unsupported(self, model: ActionModel) -> str | None:
        without = None if model.layer else "none of its layers keeps channels over time and space"
        return super().unsupported(model) or without

    def fitted(self, model: ActionModel, parameters: GradCamParameters) -> GradCamParameters:
        return parameters if parameters.layer else parameters.model_copy(update={"layer": model.layer})

    def layers(self, model: ActionModel, parameters: GradCamParameters) -> tuple[str, ...]:
        return (parameters.layer or model.layer,)

    def attribute(
        self,
        model: ActionModel,
        forward: Pass,
        items: Sequence[tuple[int, Target]],
        parameters: GradCamParameters,
    ) -> list[Attribution | RequestError]:
        (layer,) = self.layers(model, parameters)
        activation = model.on_grid(layer, forward.activation(layer))
        heat: dict[int, Tensor] = {}
        for positions in _rounds(items):
            seeds = torch.zeros_like(forward.logits)
            for position in positions:
                index, target = items[position]
                seeds[index, target.index] = 1
                if target.contrast is not None:
                    seeds[index, target.contrast] = -1
            gradient = model.on_grid(layer, forward.gradient(layer, seeds))
            cam = grad_cam(activation, gradient, pool_time=parameters.pool_time, signed=parameters.signed)
            heat.update((position, cam[items[position][0]]) for position in positions)
        frames = model.frame_positions(layer, forward.clip.shape[2], activation.shape[2])
        return [SaliencyVolume(heat[position], frames, layer, parameters.signed) for position in range(len(items))]


def _rounds(items: Sequence[tuple[int, Target]]) -> list[list[int]]:
    """Positions of items that one gradient can serve: a clip asked about twice has a target in two rounds."""
    rounds: list[list[int]] = []
    seen: dict[int, int] = {}
    for position, (index, _) in enumerate(items):
        round_index = seen[index] = seen.get(index, -1) + 1
        if round_index == len(rounds):
            rounds.append([])
        rounds[round_index].append(position)
    return rounds


EXPLAINER = GradCam()
