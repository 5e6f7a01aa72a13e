"""Guided Grad-CAM: guided backprop times Grad-CAM (selective-relevance paper, 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, SaliencyVolume, Target
from handlers.explainers.common.pixel_relevance import ItemGroup, attribute_groups, no_rectifiers, pixel_map
from handlers.explainers.explainer import Explainer, Parameters
from handlers.explainers.live.grad_cam import EXPLAINER as GRAD_CAM
from handlers.explainers.live.grad_cam import GradCamParameters
from handlers.models.action_model import ActionModel
from handlers.relevance import Pass, guided_grad_cam


class GuidedGradCamParameters(Parameters):
    """Parameters of Guided Grad-CAM."""

    layer: Annotated[str | None, Field(description="Grad-CAM's layer; the model's own when left out")] = None


class GuidedGradCam(Explainer[GuidedGradCamParameters]):
    """Pixel detail where Grad-CAM sees the class."""

    name = "guided-grad-cam"
    summary = "guided backprop times Grad-CAM"
    parameters = GuidedGradCamParameters

    def unsupported(self, model: ActionModel) -> str | None:
        return super().unsupported(model) or no_rectifiers(model)

    def fitted(self, model: ActionModel, parameters: GuidedGradCamParameters) -> GuidedGradCamParameters:
        return parameters if parameters.layer else parameters.model_copy(update={"layer": model.layer})

    def layers(self, model: ActionModel, parameters: GuidedGradCamParameters) -> tuple[str, ...]:
        return (parameters.layer or model.layer,)

    def propagates(self, parameters: GuidedGradCamParameters) -> bool:
        return True

    def attribute(
        self,
        model: ActionModel,
        forward: Pass,
        items: Sequence[tuple[int, Target]],
        parameters: GuidedGradCamParameters,
    ) -> list[Attribution | RequestError]:
        cams = GRAD_CAM.attribute(model, forward, items, GradCamParameters(layer=parameters.layer))

        def maps(group: ItemGroup) -> list[Attribution]:
            volumes = [cam.values for cam in (cams[at] for at in group.positions) if isinstance(cam, SaliencyVolume)]
            batch = volumes[0].new_zeros((len(forward), *volumes[0].shape))
            batch[list(group.clips)] = torch.stack(volumes)
            found = guided_grad_cam(forward, batch, group.target, group.contrast)
            return [pixel_map(found[clip]) for clip in group.clips]

        return attribute_groups(forward, items, maps)


EXPLAINER = GuidedGradCam()
