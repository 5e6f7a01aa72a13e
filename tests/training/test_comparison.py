"""Networks to compare with: that they learn, go on, and answer as they were trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from handlers.relevance import ConvLSTM
from training.batches import Batch, make_batch, normalise
from training.comparison import RECIPES, Recipe, SomeSteps, Trainee, accuracy, drawn, load, train
from training.filters import recur_on_motion
from training.relations import CELLS, SIZE

KINDS = ("c-lstm", "motion-cnn", "tsn", "tam-3", "steps-2")


@pytest.fixture(scope="module")
def batch() -> Batch:
    return make_batch(range(4), SIZE, CELLS)


@pytest.mark.parametrize("name", KINDS)
def test_every_weight_learns(name: str, batch: Batch) -> None:
    torch.manual_seed(0)
    trainee = Trainee(RECIPES[name])
    before = {key: value.clone() for key, value in trainee.model.named_parameters()}
    first, _ = trainee.step(batch, 1e-3)
    assert np.isfinite(first)
    assert all((value != before[key]).any() for key, value in trainee.model.named_parameters())


def test_training_goes_on_as_if_nothing_had_happened(tmp_path: Path, batch: Batch) -> None:
    torch.manual_seed(0)
    whole = Trainee(RECIPES["tam-3"])
    whole.step(batch, 1e-3)
    whole.store(tmp_path / "checkpoint.pt")
    whole.step(batch, 1e-3)
    torch.manual_seed(1)
    resumed = Trainee(RECIPES["tam-3"])
    resumed.load(tmp_path / "checkpoint.pt")
    resumed.step(batch, 1e-3)
    assert resumed.done == 2
    assert all(torch.equal(value, resumed.weights()[key]) for key, value in whole.weights().items())


def test_a_step_always_draws_the_same_and_easy_clips_only_at_first() -> None:
    easy = Batch(np.zeros((9, 16, 2, 2, 3), np.uint8), np.full(9, 9), np.zeros((9, 16, 1, 1), np.int64))
    clips = Batch(np.ones((9, 16, 2, 2, 3), np.uint8), np.full(9, 9), np.zeros((9, 16, 1, 1), np.int64))
    recipe = Recipe(nn.Module, "", "", 100, batch=8, plain=0.5)

    def easy_ones(step: int) -> int:
        return int((drawn(clips, easy, recipe, 0, step, 100).clips[:, 0, 0, 0, 0] == 0).sum())

    assert [easy_ones(step) for step in (0, 25, 50, 99)] == [8, 8, 0, 0]
    assert 0 < sum(easy_ones(step) for step in range(30, 45)) < 15 * 8
    again = [drawn(clips, easy, recipe, 0, 30, 100) for _ in range(2)]
    assert np.array_equal(again[0].clips, again[1].clips)


def test_a_trained_network_is_loaded_as_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(_folder: Path, seeds: range, plain: bool = False) -> Batch:  # files of clips are tested in test_relations
        return make_batch(seeds, SIZE, CELLS, float(plain))

    monkeypatch.setattr("training.comparison.training_clips", made)
    train("tam-3", 0, tmp_path / "tam", tmp_path / "clips", steps=1, few=20)
    found = json.loads((tmp_path / "tam" / "accuracy.json").read_text())
    assert found["clips"] == 20
    assert 0 <= found["f1"] <= 1
    model = load("tam-3", tmp_path / "tam")
    clip = np.random.default_rng(0).integers(0, 256, (16, SIZE, SIZE, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = model.module(normalise(clip[None]))
    logits = model.program.forward(model.prepare([clip]), {}, relevance=False).logits
    assert torch.allclose(logits, expected, atol=1e-4)


def test_logits_of_some_steps_are_the_mean_of_theirs() -> None:
    """Of 16 steps in two halves of eight, the fifth of each: 4 and 12."""
    model = SomeSteps(2).eval()
    assert model.chosen == (4, 12)
    clips = torch.randn(1, 3, 16, SIZE, SIZE)
    with torch.no_grad():
        rows = model.head(model.features(clips).mean((3, 4)).transpose(1, 2))
        assert torch.allclose(model(clips), rows[:, [4, 12]].mean(1), atol=1e-5)


def test_accuracy_and_f1_are_those_worked_by_hand() -> None:
    """Answers 0 0 1, labels 0 1 1: two of three right. F1 of class 0: 2 * 1 / (1 + 2) = 2 / 3, of class 1 the same;
    of the other eight classes 0, so the mean over ten is 4 / 30."""

    class Fixed(nn.Module):
        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            return torch.eye(10)[torch.tensor([0, 0, 1])]

    clips = Batch(np.zeros((3, 1, 1, 1, 3), np.uint8), np.array([0, 1, 1]), np.zeros((3, 1, 1, 1), np.int64))
    assert accuracy(Fixed(), clips) == {"accuracy": 0.6667, "f1": 0.1333, "clips": 3}


def test_units_of_a_fresh_layer_tell_directions_apart() -> None:
    """A frame that moves right by 2 px, one cell, per frame: units 4 and 8 compare columns, each one way."""
    torch.manual_seed(0)
    layer = ConvLSTM(3, 12, kernel=5, stride=2, padding=2, recurrent=5)
    recur_on_motion(layer)
    frame = 0.5 * torch.randn(1, 3, 1, 24, 24)
    rightwards = torch.cat([frame.roll(2 * step, 4) for step in range(6)], 2)
    with torch.no_grad():
        for clip, loud, quiet in ((rightwards, 4, 8), (rightwards.flip(2), 8, 4)):
            last = layer(clip)[0, :, -1, 3:-3, 3:-3].flatten(1).norm(dim=1)
            assert last[quiet] < 0.6 * last[loud]
