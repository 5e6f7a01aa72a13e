"""How far gradients on the features of frames agree with Element Shapley Values (Play Fair, 3.1)."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated

from pydantic import Field

from handlers.evaluation.common.correlation import pearson
from handlers.evaluation.common.element_features import NO_FEATURES, element_features, exact_shapley, network_of
from handlers.evaluation.common.feature_gradients import element_grad_cam, element_integrated_gradients
from handlers.evaluation.measure import ClipMeasure, LeftOut, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.common.discard_curves import prior
from handlers.models.action_model import ActionModel
from handlers.models.blocks.consensus import frame_model


class ElementGradientsParameters(MeasureParameters):
    """Parameters of the comparison."""

    steps: Annotated[int, Field(ge=1, le=1000, description="points of Integrated Gradients' path")] = 50


class ElementGradients(ClipMeasure[ElementGradientsParameters]):
    """Pearson's r, over the elements of a clip, of every two of: exact Element Shapley Values, Integrated Gradients
    from the clip's mean feature, and Grad-CAM without ReLU, on features of frames or snippets.

    Gradients are those of the logit; Shapley values share the probability. How the orders by both gradients fare when
    frames are discarded is among the baselines of frame-discard.
    """

    name = "element-gradients"
    summary = "Pearson's r of Shapley values, Integrated Gradients and Grad-CAM over the frames of a clip"
    source = "Play Fair (Price and Damen 2020), 3.1: 0.60, 0.56, 0.81 for TRN, 0.85, 0.89, 0.82 for TSN"
    parameters = ElementGradientsParameters

    def unsupported(self, model: ActionModel) -> str | None:
        if frame_model(model.module) is None:
            return NO_FEATURES
        return model.no_softmax or None

    def forwards(self, model: ActionModel, frames: int, parameters: ElementGradientsParameters) -> int:
        return 1

    def measure(self, subject: Subject, parameters: ElementGradientsParameters) -> Measured:
        model, target = subject.model, subject.target.index
        consensus, features = network_of(model).consensus, element_features(subject)
        empty, _ = prior(model.card.class_prior, len(model.card.labels))
        values = {
            "esv": exact_shapley(consensus, features, empty).values[:, target],
            "ig": element_integrated_gradients(consensus, features, target, parameters.steps),
            "grad_cam": element_grad_cam(consensus, features, target),
        }
        if len(features) < 2:
            raise LeftOut("a single element correlates with nothing")
        numbers: dict[str, Value] = {}
        left_out: dict[str, str] = {}
        for first, second in combinations(values, 2):
            name = f"{first}_{second}"
            try:
                numbers[name] = Value(pearson(values[first], values[second]))
            except LeftOut as reason:
                left_out[name] = str(reason)
        return Measured(numbers, left_out, arrays={name: own.float() for name, own in values.items()})


MEASURES = (ElementGradients(),)
