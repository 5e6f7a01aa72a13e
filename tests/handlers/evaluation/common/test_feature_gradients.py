"""Gradients on features of elements against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from handlers.evaluation.common.feature_gradients import element_grad_cam, element_integrated_gradients
from handlers.models.blocks.consensus import AverageConsensus, RelationalConsensus


def test_a_linear_network_by_hand():
    # Logit 0 = mean_i (2 x_i0 - x_i1); its gradient is (2, -1) / 2 at each of two elements.
    consensus = AverageConsensus(nn.Linear(2, 3))
    with torch.no_grad():
        consensus.classifier.weight[0] = torch.tensor([2.0, -1.0])
    features = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    # Reference (2, 1): element 0 is (-1, 1) off it: ((-1)(1) + (1)(-0.5)) / 2 = -0.75; element 1 the opposite.
    found = element_integrated_gradients(consensus, features, 0)
    torch.testing.assert_close(found, torch.tensor([-0.75, 0.75], dtype=torch.float64))
    # Grad-CAM: gradient (1, -0.5): (1 - 1) / 2 = 0 and (3 - 0) / 2 = 1.5.
    torch.testing.assert_close(element_grad_cam(consensus, features, 0), torch.tensor([0, 1.5], dtype=torch.float64))


class Square(nn.Module):
    """Logit 0 = the sum of squares."""

    def forward(self, features: Tensor) -> Tensor:
        return features.square().sum((1, 2))[:, None]


def test_midpoints_integrate_a_square_exactly():
    # The integral of 2 (r + a d) d over a is (r + d)^2 - r^2 = x^2 - r^2: 1 - 4, 9 - 4.
    found = element_integrated_gradients(Square(), torch.tensor([[1.0], [3.0]]), 0, steps=4)
    torch.testing.assert_close(found, torch.tensor([-3.0, 5.0], dtype=torch.float64))
    # x times 2 x.
    torch.testing.assert_close(
        element_grad_cam(Square(), torch.tensor([[-1.0], [3.0]]), 0), torch.tensor([2.0, 18.0], dtype=torch.float64)
    )


def test_what_speaks_against_the_class_is_negative():
    consensus = AverageConsensus(nn.Linear(1, 2))
    with torch.no_grad():
        consensus.classifier.weight[1] = 2.0
    found = element_grad_cam(consensus, torch.tensor([[-1.0], [3.0]]), 1)
    assert found.tolist() == [-1.0, 3.0]


@pytest.mark.parametrize("count", [4, 9])
def test_values_sum_to_what_the_clip_adds_to_its_mean_feature(count: int):
    torch.manual_seed(0)
    consensus = RelationalConsensus(5, 8, 3, 3)
    features = torch.randn(count, 5)
    with torch.inference_mode():
        found = element_integrated_gradients(consensus, features, 1, steps=400)
        same = features.mean(0).expand_as(features)
        gained = (consensus(features[None]) - consensus(same[None]))[0, 1]
    assert 5 * float(found.sum()) == pytest.approx(float(gained), abs=2e-3)
