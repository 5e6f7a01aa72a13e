"""Lengths of temporal relevance over clips, by hand and on small networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from actionlens.card import Input
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.evaluation.measure import LeftOut
from handlers.evaluation.measures.temporal_relevance_lengths import (
    RelevanceLengthParameters,
    TemporalRelevanceLengths,
    mean_matrix,
    normalised_matrix,
)
from handlers.evaluation.subject import GroundTruth, Subject
from handlers.explainers.attribution import FrameAttribution, RelevanceMatrix, Target
from handlers.models.action_model import ActionModel
from tests.handlers import networks

TARGET = 2
EVERY = RelevanceLengthParameters(correct=False, min_score=0)


def test_a_matrix_is_divided_by_the_sum_of_positive_logits() -> None:
    # 1 + 3, the negative one does not count.
    matrix = torch.tensor([[1.0, 2.0], [4.0, 8.0], [-4.0, 0.0]])
    found = normalised_matrix(matrix, torch.tensor([1.0, 3.0, -2.0]))
    assert found is not None
    assert found.tolist() == [[0.25, 0.5], [1, 2], [-1, 0]]
    assert normalised_matrix(matrix, torch.tensor([-1.0, 0.0, -2.0])) is None


def test_clips_weigh_alike_in_the_mean_whatever_their_scale() -> None:
    matrix, logits = torch.tensor([[1.0, 3.0], [2.0, 2.0]]), torch.tensor([4.0, 4.0])
    found = [normalised_matrix(scale * matrix, scale * logits) for scale in (1, 1000)]
    mean = mean_matrix([own for own in found if own is not None])
    assert mean is not None
    assert mean.count == 2
    torch.testing.assert_close(mean.mean, matrix.double() / 8)
    torch.testing.assert_close(mean.deviation, torch.zeros(2, 2).double())


def test_mean_and_deviation_of_two_by_hand() -> None:
    mean = mean_matrix([torch.tensor([[1.0]]), torch.tensor([[3.0]])])
    assert mean is not None
    assert (float(mean.mean), float(mean.deviation)) == (2, pytest.approx(2**0.5))
    assert mean_matrix([]) is None
    with pytest.raises(ValueError, match="different length"):
        mean_matrix([torch.zeros(2, 2), torch.zeros(3, 3)])


def explained(
    model: ActionModel, clip: NDArray[np.uint8], target: int, **parameters: object
) -> tuple[Subject, RelevanceMatrix]:
    (answer,) = Engine(model).explain([ClipRequest(clip, [MethodCall("atr", parameters)], target=target)])
    assert isinstance(answer, ClipAnswer)
    matrix = answer.explained[0].result
    assert isinstance(matrix, RelevanceMatrix), matrix
    return Subject(model, clip, answer.logits, Target(target), seed=0), matrix


def test_the_measure_takes_the_methods_lengths_and_its_matrix() -> None:
    subject, matrix = explained(networks.model(), networks.clip(1), TARGET)
    found = TemporalRelevanceLengths().measure(subject, matrix, EVERY)
    assert next(iter(found.values)) == "average-length"
    assert found.values["average-length"].number == matrix.average_length
    assert found.values["maximum-length"].number == matrix.maximum_length
    assert matrix.average_length is not None
    assert found.values["average-share"].number == pytest.approx(100 * matrix.average_length / 6)
    assert found.values["average-length"].unit == "frames"
    # Rows of LRP sum to their logits, so those of positive logits sum to 1 together (up to what z+ loses).
    rows = found.arrays["matrix"][matrix.row_logits > 0]
    assert float(rows.sum()) == pytest.approx(1, abs=0.05)


def test_blocks_of_a_slower_pathway_are_counted_as_such() -> None:
    size = Input(frames=8, height=32, width=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    model = networks.model(
        architecture="slowfast-r50-8x8", arguments={"width": 8, "counts": [1, 1, 1, 1]}, input=size, layer=""
    )
    for target in range(3):
        subject, matrix = explained(model, networks.clip(0, 8, 32, 32), target, blocks=True)
        _, whole = explained(model, networks.clip(0, 8, 32, 32), target)
        if matrix.average_length is not None:
            break
    found = TemporalRelevanceLengths().measure(subject, matrix, EVERY)
    assert found.values["average-length"].unit == "blocks"
    assert found.arrays["matrix"].shape == (2, 2)
    expected = whole.values.reshape(2, 4, 2, 4).sum((1, 3)) / matrix.row_logits.clamp(min=0).sum()
    torch.testing.assert_close(found.arrays["matrix"], expected, atol=1e-4, rtol=1e-3)


def test_clips_that_are_wrong_or_unsure_are_left_out() -> None:
    model, clip = networks.model(), networks.clip(1)
    subject, matrix = explained(model, clip, TARGET)
    measure = TemporalRelevanceLengths()
    wrong = Subject(model, clip, torch.tensor([3.0, 0.0, 0.0]), Target(TARGET), 0, GroundTruth(label=TARGET))
    with pytest.raises(LeftOut, match="top-1"):
        measure.measure(wrong, matrix, RelevanceLengthParameters(min_score=0))
    unsure = Subject(model, clip, torch.tensor([1.0, 1.0, 0.0]), Target(TARGET), 0)
    with pytest.raises(LeftOut, match=r"at most 0\.5"):
        measure.measure(unsure, matrix, RelevanceLengthParameters())
    sure = Subject(model, clip, torch.tensor([0.0, 0.0, 5.0]), Target(TARGET), 0, GroundTruth(label=TARGET))
    assert measure.measure(sure, matrix, RelevanceLengthParameters()).values
    with pytest.raises(LeftOut, match="no matrix"):
        measure.measure(subject, FrameAttribution(torch.ones(6)), EVERY)
    without = RelevanceMatrix(-torch.ones(6, 6), (0.0,) * 6, -torch.ones(6), (6,) * 6, None, None, "none is positive")
    with pytest.raises(LeftOut, match="none is positive"):
        measure.measure(subject, without, EVERY)
