"""zB at the clip: pixels at the border of their box, and beyond it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.explainers.attribution import RelevanceMatrix, SaliencyVolume
from handlers.models.action_model import ActionModel
from handlers.relevance import ConvLSTM, Rules, bounds_of_pixels, relevance, temporal_relevance, trace
from tests.handlers import networks

NORMALISED = {
    "kinetics": ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.45,) * 3, (0.225,) * 3),
    "none": ((0.0,) * 3, (1.0,) * 3),
    "bytes": ((104 / 255, 117 / 255, 123 / 255), (1 / 255,) * 3),
}


class Frames(nn.Module):
    """Reads the clip frame by frame, behind a padding."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 4, (1, 3, 3), bias=False)
        self.fc = nn.Linear(4, 3, bias=False)

    def forward(self, clip: Tensor) -> Tensor:
        return self.fc(torch.relu(self.conv(nn.functional.pad(clip, (1, 1, 1, 1)))).mean((2, 3, 4)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = ConvLSTM(3, 4, 3)
        self.fc = nn.Linear(4, 3, bias=False)

    def forward(self, clip: Tensor) -> Tensor:
        return self.fc(self.lstm(clip).mean((2, 3, 4)))


def dense() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(3, 4, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0), bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(4, 3, bias=False),
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {"dense": dense, "frames": Frames}
PIXELS = {
    "white": lambda chance, shape: np.full(shape, 255, np.uint8),
    "black": lambda chance, shape: np.zeros(shape, np.uint8),
    "both": lambda chance, shape: chance.integers(0, 2, shape, dtype=np.uint8) * 255,
    "any": lambda chance, shape: chance.integers(0, 256, shape, dtype=np.uint8),
}


def normalised(kind: str, pixels: str, seed: int) -> Tensor:
    """As models are shown pixels: one multiply-add, which rounds otherwise than the bounds do."""
    mean, std = (torch.tensor(numbers) for numbers in NORMALISED[kind])
    clip = torch.from_numpy(PIXELS[pixels](np.random.default_rng(seed), (1, 4, 6, 6, 3)))
    return (clip.to(torch.float32) * (1 / (255 * std)) - mean / std).permute(0, 4, 1, 2, 3)


@settings(max_examples=120)
@given(
    kind=st.sampled_from(sorted(NORMALISED)),
    pixels=st.sampled_from(sorted(PIXELS)),
    name=st.sampled_from(sorted(NETWORKS)),
    only=st.sampled_from(["any", "positive", "negative"]),
    beyond=st.sampled_from([0.0, 0.0, 1e-7, 0.3]),
    seed=st.integers(0, 99),
)
def test_relevance_is_shared_out_and_not_made_wherever_pixels_lie_in_their_box(
    kind: str, pixels: str, name: str, only: str, beyond: float, seed: int
) -> None:
    """No more than the network's own conservation allows, neither for the clip nor for its frames."""
    torch.manual_seed(seed)
    low, high = bounds_of_pixels(*NORMALISED[kind])
    module = NETWORKS[name]().eval()
    first = next(parameter for parameter in module.parameters() if parameter.dim() >= 4)
    if only != "any":
        first.data = first.data.abs() * (1 if only == "positive" else -1)
    x = normalised(kind, pixels, seed) * (1 + beyond)
    forward = trace(module, Rules(low=low, high=high)).forward(x)
    for target in range(3):
        found = relevance(forward, target)
        logit = float(forward.logits[0, target])
        size = float(forward.logits.abs().max())
        assert float(found.values.sum().abs()) <= abs(logit) * 1.01 + 1e-5 * size
        # z+ keeps the sign of what it shares out, and so does zB.
        assert float(found.values.abs().sum()) <= abs(logit) * 1.01 + 1e-3 * size
        if not forward.no_frame_logits:
            rows = temporal_relevance(forward, target)
            assert bool((rows.values.sum(2).abs() <= rows.row_logits.abs() * 1.01 + 1e-5 * size).all())
            assert bool((rows.values.abs().sum(2) <= rows.row_logits.abs() * 1.01 + 1e-3 * size).all())


@pytest.mark.parametrize("kind", ["kinetics", "imagenet", "half"])
@pytest.mark.parametrize("pixels", sorted(PIXELS))
def test_a_recurrence_that_reads_the_clip_makes_no_relevance_either(kind: str, pixels: str) -> None:
    torch.manual_seed(0)
    low, high = bounds_of_pixels(*NORMALISED[kind])
    module = Recurrent().eval()
    module.lstm.weight_ih.data = module.lstm.weight_ih.data.abs()
    forward = trace(module, Rules(low=low, high=high)).forward(normalised(kind, pixels, 0))
    for target in range(3):
        found = relevance(forward, target).values
        assert float(found.abs().sum()) <= 20 * float(forward.logits.abs().max())


@pytest.mark.parametrize("value", [0, 255])
def test_a_white_and_a_black_clip_are_explained_by_their_logit(value: int) -> None:
    mean, std = NORMALISED["kinetics"]
    card = networks.card(input={"frames": 6, "height": 12, "width": 16, "mean": mean, "std": std})
    module = networks.module(card).eval()
    for part in module.modules():
        if getattr(part, "bias", None) is not None:
            part.bias.data.zero_()
    engine = Engine(ActionModel(card, module))
    clip = np.full((6, 12, 16, 3), value, np.uint8)
    calls = [MethodCall(name) for name in ("dtd", "clrp", "atr", "selective-relevance")]
    for target in range(3):
        (answer,) = engine.explain([ClipRequest(clip, calls, target)])
        assert isinstance(answer, ClipAnswer)
        bound = 3 * float(answer.logits.abs().max()) + 1e-3
        for entry in answer.explained:
            assert isinstance(entry.result, SaliencyVolume | RelevanceMatrix)
            assert float(entry.result.values.abs().sum()) <= bound * len(clip), entry.method
