"""Features of elements, and scores of subsequences of them, against the network itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from handlers.evaluation.common.element_features import (
    by_element,
    element_features,
    exact_shapley,
    network_of,
    subsequence_logits,
)
from handlers.evaluation.measure import LeftOut
from tests.handlers.evaluation.frame_networks import relational, subject_of
from tests.handlers.networks import model


def test_values_of_frames_sum_over_their_snippets():
    values = torch.tensor([1.0, 2, 3, 4, 5])
    assert by_element(values, 2).tolist() == [3, 7, 5]
    assert by_element(values, 1).tolist() == values.tolist()


@torch.no_grad()
def test_subsequences_score_as_the_network_scores_those_frames_alone():
    subject = subject_of(relational())
    network = network_of(subject.model)
    sets = [(0, 2, 5), (1,), (0, 1, 2, 3, 4, 5), (3, 4, 5)]
    found = subsequence_logits(network.consensus, element_features(subject), sets)
    for row, kept in zip(found, sets, strict=True):
        expected = network(subject.model.prepare([subject.clip[list(kept)]]))[0]
        torch.testing.assert_close(row, expected)


def test_what_has_no_features_or_too_many_elements_is_left_out():
    with pytest.raises(LeftOut, match="mixes frames"):
        element_features(subject_of(model()))
    network = network_of(relational())
    with pytest.raises(LeftOut, match="16 elements"):
        exact_shapley(network.consensus, torch.zeros(17, 4), torch.full((3,), 1 / 3))
    with pytest.raises(LeftOut, match="mixes frames"):
        exact_shapley(nn.Identity(), torch.zeros(2, 4), torch.full((3,), 1 / 3))
