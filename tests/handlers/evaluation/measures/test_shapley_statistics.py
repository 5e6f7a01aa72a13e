"""Statistics of Shapley values by hand, and of what the explainers answer."""

from __future__ import annotations

import math

import pytest
import torch

from handlers.evaluation.common.element_features import element_features, exact_shapley, network_of
from handlers.evaluation.measure import LeftOut, Measured
from handlers.evaluation.measures.shapley_statistics import (
    MEASURES,
    ShapleyStatisticsParameters,
    is_above,
    is_at,
    lad_slope,
    normalised,
    relative_errors,
    replacement_changes,
    supporting_share,
)
from handlers.evaluation.subject import Subject
from handlers.explainers import Question, iterative
from handlers.explainers.attribution import Attribution, FrameAttribution, Target
from tests.handlers.evaluation.frame_networks import average, relational, subject_of
from tests.handlers.networks import model

(MEASURE,) = MEASURES


def explained(subject: Subject, method: str = "esv", **parameters: object) -> Attribution:
    chosen = iterative(method)
    asked = Question(
        subject.model,
        subject.clip,
        subject.logits,
        subject.target,
        chosen.parameters.model_validate(parameters),
        subject.seed,
    )
    return chosen.result(asked, chosen.advance(asked, chosen.start(asked), math.inf))


def measured(subject: Subject, method: str = "esv", reach: int = 3, **parameters: object) -> Measured:
    found = explained(subject, method, **parameters)
    return MEASURE.measure(subject, found, ShapleyStatisticsParameters(reach=reach))


def test_shares_and_places_by_hand():
    values = torch.tensor([0.2, -0.1, 0.0, 0.2])
    assert supporting_share(values) == 50
    assert is_above(values).tolist() == [[0, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]]
    assert is_at(values, float(values.max())).tolist() == [0.5, 0, 0, 0.5]
    assert is_at(values, float(values.min())).tolist() == [0, 1, 0, 0]
    torch.testing.assert_close(normalised(values), values / 0.5)
    assert normalised(torch.zeros(2)).tolist() == [0, 0]


def test_replacements_by_hand():
    # Values are the features themselves: (1, 3, 6) / 10. Element 0 becomes 3: 3 / 12; element 1 becomes 1 or 6: 1 / 8,
    # 6 / 13; element 2 becomes 3: 3 / 7.
    found = replacement_changes(lambda features: features[:, 0], torch.tensor([[1.0], [3.0], [6.0]]), 1)
    nan = math.nan
    expected = [[nan, 0, 3 / 12 - 0.1], [1 / 8 - 0.3, 0, 6 / 13 - 0.3], [3 / 7 - 0.6, 0, nan]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), equal_nan=True, atol=1e-7, rtol=0)


def test_errors_and_slope_by_hand():
    # Errors 1, 0, 3 over (2 + 1 + 3) / 3 = 2.
    errors = relative_errors(torch.tensor([1.0, -1, 6]), torch.tensor([2.0, -1, 3]))
    assert errors.tolist() == [0.5, 0, 1.5]
    # Four points on 2 x + 1 and one far off it, which least absolute deviations do not heed.
    x = torch.tensor([0.0, 1, 2, 3, 4])
    y = 2 * x + 1
    y[2] = 90
    assert lad_slope(x, y) == pytest.approx(2)


def test_over_estimated_values_have_a_slope_below_one():
    exact = torch.tensor([0.1, -0.2, 0.3, 0.05])
    assert lad_slope(1.25 * exact, exact) == pytest.approx(0.8)


def test_constants_have_no_slope_and_zeros_no_relative_error():
    with pytest.raises(LeftOut, match="equal"):
        lad_slope(torch.ones(3), torch.arange(3))
    with pytest.raises(LeftOut, match="equal"):
        lad_slope(torch.arange(3), torch.ones(3))
    with pytest.raises(LeftOut, match="are 0"):
        relative_errors(torch.ones(3), torch.zeros(3))


def test_exact_values_of_a_clip():
    subject = subject_of(relational(), label=1)
    found = measured(subject)
    network = network_of(subject.model)
    exact = exact_shapley(network.consensus, element_features(subject), torch.full((3,), 1 / 3))
    values = exact.values[:, 1]
    torch.testing.assert_close(found.arrays["values"], values.float())
    assert next(iter(found.values)) == "supporting"
    assert found.values["supporting"].number == pytest.approx(supporting_share(values))
    assert found.values["most_supporting"].number == int(values.argmax())
    assert found.values["most_distracting"].number == int(values.argmin())
    (name,) = {"supporting_right", "supporting_wrong"} & set(found.values)
    assert name == ("supporting_right" if int(subject.logits.argmax()) == 1 else "supporting_wrong")
    assert found.left_out["pearson"] == "the values are not sampled ones of esv"
    marginal, change = found.curves
    assert (marginal.name, marginal.x) == ("marginal contribution", (1, 2, 3, 4, 5, 6))
    assert marginal.y == pytest.approx(exact.marginals[:, :, 1].mean(1).tolist())
    assert sum(marginal.y) / 6 == pytest.approx(float(values.mean()), abs=1e-6)
    assert change.x == (-3, -2, -1, 0, 1, 2, 3)
    assert change.y[3] == 0
    assert found.values["change_1"].number == pytest.approx((change.y[2] + change.y[4]) / 2)


def test_sampled_values_are_compared_with_exact_ones():
    subject = subject_of(relational(), frames=9)
    found = measured(subject, reach=0, exact_up_to=1, samples=40, iterations=4, tolerance=0.0)
    exact = explained(subject).details.arrays["values_by_class"][:, 1]
    sampled = found.arrays["values"].double()
    expected = 100 * float((sampled - exact).abs().mean() / exact.abs().mean())
    assert found.values["relative_error"].number == pytest.approx(expected, rel=1e-4)
    assert 0 < found.values["relative_error"].number < 60
    assert found.values["pearson"].number == pytest.approx(float(torch.corrcoef(torch.stack([sampled, exact]))[0, 1]))
    assert found.values["slope"].number == pytest.approx(1, abs=0.5)
    all_of_them = measured(subject, reach=0, exact_up_to=1, samples=200, iterations=1)
    assert all_of_them.values["relative_error"].number < 1e-2
    assert all_of_them.values["slope"].number == pytest.approx(1, abs=1e-4)


def test_improbable_classes_are_not_compared():
    subject = subject_of(average())
    unlikely = Subject(subject.model, subject.clip, torch.tensor([9.0, 0, 0]), Target(1), 0)
    found = MEASURE.measure(
        unlikely, explained(subject, exact_up_to=1, samples=4, iterations=2), ShapleyStatisticsParameters(reach=0)
    )
    assert "below 0.05" in found.left_out["relative_error"]


def test_groups_of_frames_of_other_models_have_no_exact_values():
    found = measured(subject_of(model()), "frame-shapley", elements=3)
    assert "supporting" in found.values
    assert found.arrays["is_above"].shape == (3, 3)
    assert "mixes frames" in found.left_out["change_1"]
    assert "not sampled" in found.left_out["slope"]


def test_two_elements_have_no_neighbour_farther_off():
    found = measured(subject_of(relational(), frames=2), reach=2)
    assert "change_1" in found.values
    assert found.left_out["change_2"] == "the clip has 2 elements"


def test_a_contrast_has_its_own_values():
    subject = subject_of(relational())
    versus = Subject(subject.model, subject.clip, subject.logits, Target(1, 2), 0)
    by_class = explained(subject).details.arrays["values_by_class"]
    found = MEASURE.measure(versus, explained(versus), ShapleyStatisticsParameters(reach=0))
    torch.testing.assert_close(found.arrays["values"], (by_class[:, 1] - by_class[:, 2]).float())


def test_other_explanations_are_left_out():
    with pytest.raises(LeftOut, match="no Shapley values"):
        MEASURE.measure(subject_of(relational()), FrameAttribution(torch.ones(6)), ShapleyStatisticsParameters())
