"""The network keeps time: any length in, one logit vector per frame, their mean is the answer."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from handlers.models.architectures.motion_cnn import MotionCNN
from training.filters import half_size, moving_edges, start_with_motion, take_over


@pytest.fixture(scope="module")
def model() -> MotionCNN:
    torch.manual_seed(0)
    return MotionCNN(10).eval()


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 112, 112), (7, 64, 48), (16, 112, 112), (20, 64, 57)])
def test_any_length_and_size(model: MotionCNN, frames: int, height: int, width: int) -> None:
    with torch.inference_mode():
        clip = torch.randn(2, 3, frames, height, width)
        assert model(clip).shape == (2, 10)
        assert model.features(clip).shape[:3] == (2, 96, frames)


def test_full_resolution_gives_seven_by_seven_cells(model: MotionCNN) -> None:
    with torch.inference_mode():
        assert model.features(torch.randn(1, 3, 4, 112, 112)).shape == (1, 96, 4, 7, 7)


def test_logits_are_the_mean_of_the_logits_per_frame(model: MotionCNN) -> None:
    clip = torch.randn(1, 3, 16, 56, 56)
    with torch.inference_mode():
        per_frame = model.head(model.features(clip).mean(dim=(3, 4)).transpose(1, 2))
        torch.testing.assert_close(per_frame.mean(dim=1), model(clip))


def test_a_time_step_sees_thirteen_frames(model: MotionCNN) -> None:
    clip = torch.randn(1, 3, 31, 32, 32, requires_grad=True)
    model.features(clip)[:, :, 15].sum().backward()
    assert clip.grad is not None
    seen = clip.grad.abs().sum(dim=(0, 1, 3, 4)).nonzero().flatten().tolist()
    assert seen == list(range(9, 22))


def test_the_network_for_half_the_size_has_as_many_cells_and_sees_nine_frames() -> None:
    small = MotionCNN(11, half_size=True, depth=3).eval()
    clip = torch.randn(1, 3, 21, 56, 56, requires_grad=True)
    features = small.features(clip)
    assert features.shape == (1, 96, 21, 7, 7)
    features[:, :, 10].sum().backward()
    assert clip.grad is not None
    assert clip.grad.abs().sum(dim=(0, 1, 3, 4)).nonzero().flatten().tolist() == list(range(6, 15))


def test_it_is_small_and_made_of_plain_layers(model: MotionCNN) -> None:
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_200_000
    kinds = {type(layer) for layer in model.features}
    assert kinds == {nn.Conv3d, nn.BatchNorm3d, nn.ReLU}


def test_the_first_layer_does_on_full_size_what_the_trained_one_does_on_means() -> None:
    torch.manual_seed(0)
    layer = nn.Conv3d(3, 24, (3, 10, 10), stride=(1, 4, 4), padding=(1, 4, 4), bias=False)
    narrow = half_size(layer)
    take_over(layer, narrow)
    clip = torch.randn(1, 3, 4, 48, 48)
    with torch.inference_mode():
        torch.testing.assert_close(layer(clip), narrow(functional.avg_pool3d(clip, (1, 2, 2))), rtol=1e-4, atol=1e-5)


def test_a_fresh_first_layer_is_blind_to_a_still_picture_and_sees_motion() -> None:
    torch.manual_seed(0)
    layer = nn.Conv3d(3, 24, (3, 5, 5), padding=(1, 2, 2), bias=False)
    start_with_motion(layer)
    picture = torch.rand(1, 3, 1, 24, 24)
    still = picture.expand(-1, -1, 5, -1, -1)
    moving = torch.cat([picture.roll(step, dims=-1) for step in range(5)], dim=2)
    with torch.inference_mode():
        assert layer(still)[:, :, 2].abs().max() < 1e-5
        assert layer(moving)[:, :, 2].abs().max() > 0.05
    assert moving_edges(24, (3, 5, 5)).shape == (24, 1, 3, 5, 5)
