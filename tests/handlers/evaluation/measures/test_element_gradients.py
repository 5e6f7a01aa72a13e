"""Gradients on features of frames beside Shapley values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from handlers.evaluation.common.correlation import pearson
from handlers.evaluation.common.element_features import element_features, exact_shapley, network_of
from handlers.evaluation.measure import LeftOut
from handlers.evaluation.measures.element_gradients import MEASURES, ElementGradientsParameters
from handlers.models.action_model import ActionModel
from tests.handlers.evaluation.frame_networks import average, relational, subject_of
from tests.handlers.networks import model

(MEASURE,) = MEASURES
PARAMETERS = ElementGradientsParameters()


@pytest.mark.parametrize("made", [average, relational])
def test_every_two_of_the_three(made: Callable[[], ActionModel]):
    subject = subject_of(made())
    with torch.inference_mode():
        found = MEASURE.measure(subject, PARAMETERS)
    arrays, values = found.arrays, found.values
    assert list(values) == ["esv_ig", "esv_grad_cam", "ig_grad_cam"]
    assert values["esv_ig"].number == pytest.approx(pearson(arrays["esv"], arrays["ig"]), abs=1e-4)
    assert values["ig_grad_cam"].number == pytest.approx(pearson(arrays["ig"], arrays["grad_cam"]), abs=1e-4)
    exact = exact_shapley(network_of(subject.model).consensus, element_features(subject), torch.full((3,), 1 / 3))
    torch.testing.assert_close(arrays["esv"], exact.values[:, 1].float())


def test_a_network_that_averages_logits_has_one_answer_by_all_gradients():
    # w . (x_i - mean x) / n and w . x_i / n differ by a constant, which Pearson does not see.
    found = MEASURE.measure(subject_of(average()), PARAMETERS)
    assert found.values["ig_grad_cam"].number == pytest.approx(1, abs=1e-5)


def test_steps_decide_how_fine_the_path_is():
    subject = subject_of(relational())
    few, many = (MEASURE.measure(subject, ElementGradientsParameters(steps=n)).arrays["ig"] for n in (1, 200))
    assert not torch.equal(few, many)
    torch.testing.assert_close(MEASURE.measure(subject, PARAMETERS).arrays["ig"], many, atol=1e-4, rtol=1e-2)


def test_what_it_cannot_be_taken_on():
    assert "mixes frames" in (MEASURE.unsupported(model()) or "")
    assert MEASURE.unsupported(relational()) is None
    with pytest.raises(LeftOut, match="single element"):
        MEASURE.measure(subject_of(average(), frames=1), PARAMETERS)
    with pytest.raises(LeftOut, match="16 elements"):
        MEASURE.measure(subject_of(relational(), frames=17), PARAMETERS)
