"""The engine on a real trained network and a real clip, from ACTIONLENS_TEST_ASSETS."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from handlers.relevance import NoFrameLogits, Rules, relevance, temporal_relevance, trace
from tests.conftest import NO_ASSETS
from tests.handlers.relevance import oracle

ASSETS = os.environ.get("ACTIONLENS_TEST_ASSETS")
pytestmark = pytest.mark.skipif(ASSETS is None, reason=NO_ASSETS)


def network() -> nn.Module:
    found = np.load(Path(str(ASSETS)) / "models/gesture_conv3d/gesture_conv3d_torch_layout.npz")
    net = nn.Sequential()
    channels = 3
    for number, width in enumerate((32, 64, 128), 1):
        net.add_module(f"conv{number}", nn.Conv3d(channels, width, 3, padding=1))
        net.add_module(f"relu{number}", nn.ReLU())
        if number < 3:
            net.add_module(f"pool{number}", nn.MaxPool3d(2, ceil_mode=True))
        channels = width
    net.add_module("average", nn.AdaptiveAvgPool3d(1))
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc1", nn.Linear(128, 128))
    net.add_module("relu4", nn.ReLU())
    net.add_module("fc2", nn.Linear(128, 5))
    net.load_state_dict({name: torch.tensor(found[name]) for name in found})
    return net.eval()


def swipe(size: int) -> Tensor:
    """[1, 3, 30, size, size] BGR in 0 .. 1, letterboxed."""
    pictures = []
    for path in sorted((Path(str(ASSETS)) / "clips/gesture_swipe_30f").glob("*.png")):
        picture = cv2.imread(str(path))
        height, width = picture.shape[:2]
        scale = size / max(height, width)
        small = cv2.resize(picture, (round(width * scale), round(height * scale)))
        canvas = np.zeros((size, size, 3), np.uint8)
        top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
        canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
        pictures.append(canvas)
    stacked = np.stack(pictures).astype(np.float32) / 255
    return torch.from_numpy(stacked).permute(3, 0, 1, 2)[None].contiguous()


def test_prediction_and_relevance_of_the_swipe() -> None:
    forward = trace(network(), Rules(low=(0.0,) * 3, high=(1.0,) * 3)).forward(swipe(200))
    assert forward.logits.softmax(1)[0].tolist() == pytest.approx([0.987, 0.001, 0.004, 0.009, 0.0], abs=0.005)
    found = relevance(forward, 0)
    assert bool(found.values.isfinite().all())
    assert float(found.values.sum()) == pytest.approx(float(found.start) * (1 - float(found.defect)), rel=1e-3)
    with pytest.raises(NoFrameLogits, match="relu"):
        temporal_relevance(forward, 0)


def test_relevance_of_the_swipe_equals_the_oracle() -> None:
    net, clip = network().double(), swipe(64).double()[:, :, ::2]
    rules = Rules(low=(0.0,) * 3, high=(1.0,) * 3)
    forward = trace(net, rules).forward(clip)
    start = torch.zeros_like(forward.logits)
    start[:, 0] = forward.logits[:, 0]
    expected = oracle.relevance(net, clip, start, rules)
    assert torch.allclose(relevance(forward, 0).values, expected, atol=1e-9 * float(expected.abs().max()))
