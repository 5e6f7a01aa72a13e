"""The losses on explanations: their relevance is the method's own, and they are least where all lies on the mover."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from actionlens.card import Input, ModelCard, Weights
from actionlens.generated_clips.labels import LEFT, OTHER, STILL
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.explainers.attribution import SaliencyVolume
from handlers.models.action_model import ActionModel
from handlers.models.architectures.motion_cnn import MotionCNN
from training.batches import normalise
from training.explained import evidence_loss, layers, moves, outside, pixel_relevance, relevance_loss


def test_outside_is_minus_the_log_of_the_share_inside() -> None:
    maps = torch.tensor([[3.0, 1.0], [0.0, 0.0], [2.0, 0.0]])
    inside = torch.tensor([[True, False], [True, False], [True, False]])
    assert outside(maps, inside).tolist() == pytest.approx([-math.log(0.76), -math.log(0.01), -math.log(1.01)])


def test_still_and_something_else_have_no_one_mover() -> None:
    masks = torch.tensor([[True], [True], [True], [False]])
    assert moves(torch.tensor([LEFT, STILL, OTHER, LEFT]), masks).tolist() == [True, False, False, False]


def test_evidence_beside_the_mover_costs() -> None:
    features = torch.zeros(1, 2, 1, 1, 2)
    features[0, 0, 0, 0] = torch.tensor([1.0, 3.0])
    features[0, 1, 0, 0] = torch.tensor([0.0, 1.0])
    weight = torch.tensor([[1.0, -1.0], [0.0, 0.0]])
    inside = torch.tensor([[[[True, False]]]])
    # Values per cell: 1 and 2, so a third lies inside; with the positive weights 1 and 3, so a quarter does.
    wanted = 0.5 * -math.log(1 / 3 + 0.01) + 0.5 * -math.log(1 / 4 + 0.01)
    assert float(evidence_loss(features, weight, torch.tensor([LEFT]), inside)) == pytest.approx(wanted)
    assert float(evidence_loss(features, weight, torch.tensor([STILL]), inside)) == 0


@pytest.mark.parametrize("half_size", [True, False])
def test_relevance_is_that_of_dtd(half_size: bool) -> None:
    torch.manual_seed(0)
    module = MotionCNN(4, width=3, half_size=half_size, depth=3).eval()
    card = ModelCard(
        name="small",
        architecture="motion-cnn",
        weights=Weights(file="none.safetensors", sha256="0" * 64),
        labels=("a", "b", "c", "d"),
        input=Input(frames=6, height=32, width=32, mean=(0.5,) * 3, std=(0.25,) * 3),
    )
    clip = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    (answer,) = Engine(ActionModel(card, module)).explain([ClipRequest(clip, [MethodCall("dtd")], target=2)])
    assert isinstance(answer, ClipAnswer)
    wanted = answer.explained[0].result
    assert isinstance(wanted, SaliencyVolume)
    (found,) = pixel_relevance(module, layers(module, normalise(clip[None])), torch.tensor([2])).detach()
    torch.testing.assert_close(found / found.sum(), wanted.values / wanted.values.sum(), rtol=1e-3, atol=1e-7)


def test_relevance_that_follows_the_mover_costs_least() -> None:
    masks = torch.zeros(1, 8, 12, 12, dtype=torch.bool)
    for time in range(8):
        masks[0, time, 4:8, time : time + 4] = True
    on, beside, stands = masks.float(), masks.roll(6, 2).float(), torch.ones(1, 8, 12, 12)
    losses = [float(relevance_loss(values + 1e-6, masks)) for values in (on, stands, beside)]
    assert losses == sorted(losses)
    assert losses[0] < 0.2
    assert losses[2] > 3
