"""Frame discard: the curves by hand and by the network, and that orders that know more do better."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from handlers.evaluation.common.element_features import Kept, element_features, exact_shapley, network_of
from handlers.evaluation.common.feature_gradients import element_integrated_gradients
from handlers.evaluation.common.ranking import order
from handlers.evaluation.measure import LeftOut
from handlers.evaluation.measures.frame_discard import (
    MEASURES,
    FrameDiscardParameters,
    ScoreSets,
    area_between,
    centre_rank,
    discard_scores,
    kept_after,
    removable,
    uniform_rank,
)
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import FrameAttribution
from handlers.explainers.shapley import Elements
from handlers.models.action_model import ActionModel
from tests.handlers.evaluation.frame_networks import average, relational, subject_of
from tests.handlers.models.architectures.test_frame_models import SMALL
from tests.handlers.networks import model

(MEASURE,) = MEASURES
PARAMETERS = FrameDiscardParameters()


def additive(weights: Sequence[float]) -> ScoreSets:
    """Probabilities of two classes: 0.5 and the sum of the weights of what is left, and the rest."""

    def scores(sets: Sequence[Kept]) -> Tensor:
        own = torch.tensor([0.5 + sum(weights[element] for element in kept) for kept in sets])
        return torch.stack([own, 1 - own], dim=1)

    return scores


def test_three_elements_by_hand():
    # Weights 0.3, -0.2, 0.1. Highest first, 0 then 2: 0.7, 0.4, 0.3. Lowest first, 1 then 2: 0.7, 0.9, 0.8.
    highest, lowest = discard_scores([0, 2, 1], additive([0.3, -0.2, 0.1]))
    torch.testing.assert_close(highest[:, 0], torch.tensor([0.7, 0.4, 0.3]))
    torch.testing.assert_close(lowest[:, 0], torch.tensor([0.7, 0.9, 0.8]))
    # (0 + 0.5 + 0.5) / 3.
    assert area_between(lowest[:, 0], highest[:, 0]) == pytest.approx(1 / 3)
    assert removable(lowest, 0) == 2
    # Class 1 has 0.3, 0.6, 0.7 where class 0 has 0.7, 0.4, 0.3: wrong as soon as one is gone.
    assert removable(highest, 0) == 0


def test_what_is_left_is_in_the_order_of_time():
    assert kept_after([2, 0, 1]) == [(0, 1, 2), (0, 1), (1,)]


def test_equal_curves_have_no_area_between():
    assert area_between(torch.full((5,), 0.4), torch.full((5,), 0.4)) == 0


def test_orders_that_know_nothing():
    assert centre_rank(5) == [2, 1, 3, 0, 4]
    assert centre_rank(4) == [1, 2, 0, 3]
    assert uniform_rank(8) == [0, 4, 2, 6, 1, 5, 3, 7]
    assert uniform_rank(6) == [0, 4, 2, 1, 5, 3]
    assert (uniform_rank(1), centre_rank(1)) == ([0], [0])


def test_the_true_weights_beat_random_and_a_constant_is_random():
    weights = torch.tensor([0.1, -0.05, 0.02, 0.08, -0.1, 0.03])

    def area(values: Tensor, seed: int) -> float:
        rank, _ = order(values, torch.Generator().manual_seed(seed))
        highest, lowest = discard_scores(rank.tolist(), additive(weights.tolist()))
        return area_between(lowest[:, 0], highest[:, 0])

    random = torch.tensor([area(torch.rand(6, generator=torch.Generator().manual_seed(s)), s) for s in range(300)])
    constant = torch.tensor([area(torch.ones(6), seed) for seed in range(300)])
    assert area(weights, 0) > float(random.max()) - 1e-6
    error = math.sqrt(float(random.var() + constant.var()) / 300)
    assert abs(float(random.mean() - constant.mean())) < 4 * error
    assert abs(float(constant.mean())) < 4 * error
    assert area(weights * 7, 0) == area(weights, 0)


def esv(made: ActionModel, **of: int) -> tuple[Subject, Tensor]:
    subject = subject_of(made, **of)
    network = network_of(subject.model)
    found = exact_shapley(network.consensus, element_features(subject), torch.full((3,), 1 / 3))
    return subject, found.values[:, subject.target.index]


@torch.no_grad()
@pytest.mark.parametrize("made", [relational, average])
def test_the_network_sees_the_subsequence(made: Callable[[], ActionModel]):
    subject, values = esv(made(), label=1)
    found = MEASURE.measure(subject, FrameAttribution(values.float()), PARAMETERS)
    curves = {curve.name: curve for curve in found.curves}
    rank = values.argsort(descending=True).tolist()
    for name, first in (("highest", rank), ("lowest", rank[::-1])):
        curve = curves[f"probability, {name} first"]
        assert (curve.x_name, curve.x) == ("frames discarded", (0, 1, 2, 3, 4, 5))
        for gone, y in enumerate(curve.y):
            kept = sorted(first[gone:])
            logits = subject.model.module(subject.model.prepare([subject.clip[kept]]))[0]
            assert y == pytest.approx(float(logits.softmax(0)[1]), abs=1e-6)
            assert curves[f"accuracy, {name} first"].y[gone] == float(logits.argmax() == 1)
        assert curve.y[0] == pytest.approx(subject.probability, abs=1e-6)
        assert found.values[f"half_{name}"].number == curve.y[3]
    assert next(iter(found.values)) == "area"
    assert found.values["tied"].number == 0


def test_esv_beats_random_orders_on_networks_of_frames():
    areas, random = [], []
    for seed in range(6):
        subject, values = esv(relational(), clip_seed=seed)
        areas.append(MEASURE.measure(subject, FrameAttribution(values.float()), PARAMETERS).values["area"].number)
        noise = torch.rand(6, generator=torch.Generator().manual_seed(seed))
        random.append(MEASURE.measure(subject, FrameAttribution(noise), PARAMETERS).values["area"].number)
    assert all(own > other for own, other in zip(areas, random, strict=True))


@torch.no_grad()
def test_other_models_see_held_frames():
    subject = subject_of(model())
    values = torch.tensor([0.0, 5, 1, 4, 2, 3])
    found = MEASURE.measure(subject, FrameAttribution(values), PARAMETERS)
    (highest,) = (curve for curve in found.curves if curve.name == "probability, highest first")
    assert highest.x_name == "frames discarded (held)"
    # Highest first: 1, 3, 5, 4, 2 go. After three, 0, 2 and 4 are left; 1 is held by 0, 3 by 2, 5 by 4.
    held = subject.model.prepare([subject.clip[[0, 0, 2, 2, 4, 4]]])
    assert highest.y[3] == pytest.approx(float(subject.model.module(held)[0].softmax(0)[1]), abs=1e-6)
    assert Elements(6, 6).held((0, 2, 4)).tolist() == [0, 0, 2, 2, 4, 4]
    assert MEASURE.forwards(subject.model, 6, PARAMETERS) == 11
    assert MEASURE.forwards(relational(), 6, PARAMETERS) == 1


def test_what_needs_a_label_is_left_out_without_one():
    subject, values = esv(relational())
    found = MEASURE.measure(subject, FrameAttribution(values.float()), PARAMETERS)
    assert found.left_out["accuracy_area"] == "no label is given"
    assert {curve.name for curve in found.curves} == {"probability, highest first", "probability, lowest first"}
    wrong = subject_of(relational(), label=int((subject.logits.argmax() + 1) % 3))
    found = MEASURE.measure(wrong, FrameAttribution(values.float()), PARAMETERS)
    assert found.left_out == {"removable": "the whole clip is not recognised"}


def test_a_single_element_is_left_out():
    with pytest.raises(LeftOut, match="nothing to discard"):
        MEASURE.measure(subject_of(relational(), frames=1), FrameAttribution(torch.ones(1)), PARAMETERS)


def test_snippets_are_discarded_whole():
    made = model(architecture="trn", arguments={**SMALL, "hidden": 7, "scales": 3, "snippet": 2}, layer="")
    subject = subject_of(made)
    # Snippets 0-1, 2-3, 4-5 have 3, 5 and 1.
    found = MEASURE.measure(subject, FrameAttribution(torch.tensor([3.0, 0, 2, 3, 0, 1])), PARAMETERS)
    (lowest,) = (curve for curve in found.curves if curve.name == "probability, lowest first")
    assert (lowest.x_name, len(lowest.x)) == ("snippets discarded", 3)
    with torch.no_grad():
        left = made.module(made.prepare([subject.clip[:4]]))[0].softmax(0)[1]
    assert lowest.y[1] == pytest.approx(float(left), abs=1e-6)
    orders = MEASURE.baselines(subject, PARAMETERS)
    assert list(orders) == ["centre", "edges", "uniform", "element-ig", "element-grad-cam"]
    centre = orders["centre"]
    assert isinstance(centre, FrameAttribution)
    assert centre.values.tolist() == [2, 0, 3, 0, 1, 0]
    gradients = orders["element-ig"]
    assert isinstance(gradients, FrameAttribution)
    network = network_of(made)
    expected = element_integrated_gradients(network.consensus, element_features(subject), 1)
    torch.testing.assert_close(gradients.values[::2].double(), expected, atol=1e-6, rtol=1e-5)
    others = MEASURE.baselines(subject_of(model()), PARAMETERS)
    assert (len(orders), len(others), list(others)) == (5, 3, ["centre", "edges", "uniform"])
    with pytest.raises(KeyError):
        others["element-ig"]
