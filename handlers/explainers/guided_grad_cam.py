"""Guided Grad-CAM: guided backprop times Grad-CAM (selective-relevance paper, 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch.nn import functional

from handlers.attribution import Attribution, SaliencyVolume, Target
from handlers.explainers.explainer import Explainer, Parameters
from handlers.explainers.grad_cam import EXPLAINER as GRAD_CAM
from handlers.explainers.grad_cam import GradCamParameters
from handlers.explainers.guided import guided_gradients
from handlers.explainers.propagation import pixel_map
from handlers.models.action_model import ActionModel
from handlers.relevance import ForwardPass


class GuidedGradCamParameters(Parameters):
    """Parameters of Guided Grad-CAM."""

    layer: Annotated[str | None, Field(description="Grad-CAM's layer; the model's own when left out")] = None


class GuidedGradCam(Explainer[GuidedGradCamParameters]):
    """Pixel detail where Grad-CAM sees the class."""

    name = "guided-grad-cam"
    summary = "guided backprop times Grad-CAM"
    parameters = GuidedGradCamParameters

    def layers(self, model: ActionModel, parameters: GuidedGradCamParameters) -> tuple[str, ...]:
        return (parameters.layer or model.layer,)

    def propagates(self, parameters: GuidedGradCamParameters) -> bool:
        return True

    def attribute(
        self,
        model: ActionModel,
        forward: ForwardPass,
        items: Sequence[tuple[int, Target]],
        parameters: GuidedGradCamParameters,
    ) -> list[Attribution]:
        cams = GRAD_CAM.attribute(model, forward, items, GradCamParameters(layer=parameters.layer))
        results: list[Attribution] = []
        for gradient, cam in zip(guided_gradients(forward, items), cams, strict=True):
            assert isinstance(cam, SaliencyVolume)
            size = gradient.shape[1:]
            weights = functional.interpolate(cam.values[None, None], size=size, mode="trilinear", align_corners=False)
            results.append(pixel_map(gradient * weights[0]))
        return results


EXPLAINER = GuidedGradCam()
