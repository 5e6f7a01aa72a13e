"""Training goes on where it stopped, and from earlier weights."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training import train
from training.batches import make_batch, normalise
from training.train import Stage, Trainee, learning_rate, losses, save

STAGES = (Stage(size=24, cells=3, steps=3, plain=2), Stage(size=32, cells=4, steps=2))


def test_the_rate_rises_then_falls_to_nothing() -> None:
    rates = [learning_rate(step, 1000) for step in range(1000)]
    assert rates.index(max(rates)) == 19
    assert all(late < early for early, late in itertools.pairwise(rates[19:]))
    assert rates[-1] < 1e-5 * max(rates)


def test_ctrl_c_and_resume_do_all_steps_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []

    def rate(step: int, total: int, _: float) -> float:
        steps.append((step, total))
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return 1e-3

    monkeypatch.setattr(train, "STAGES", STAGES)
    monkeypatch.setattr(train, "learning_rate", rate)
    with pytest.raises(SystemExit, match="--resume"):
        train.train(0, tmp_path, 1.0, None, resume=False)
    assert (tmp_path / "checkpoint.pt").exists()
    train.train(0, tmp_path, 1.0, None, resume=True)
    # The step that was interrupted before it was done is done again; no other is repeated or left out.
    assert steps == [(0, 5), (1, 5), (1, 5), (2, 5), (3, 5), (4, 5)]
    assert not (tmp_path / "checkpoint.pt").exists()
    assert (tmp_path / "weights.safetensors").exists()


def step(trainee: Trainee, seed: int) -> None:
    loss, _ = losses(trainee.model, trainee.cell_classifier, make_batch(range(seed, seed + 3), 24, cells=3))
    trainee.update(loss, 1e-3)


def test_a_stored_trainee_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    trainee, again = Trainee(0, None), Trainee(1, None)
    step(trainee, 0)
    trainee.store(tmp_path / "checkpoint.pt")
    again.load(tmp_path / "checkpoint.pt")
    step(trainee, 3)
    step(again, 3)
    assert again.done == trainee.done == 2
    for name, weights in trainee.weights().items():
        torch.testing.assert_close(again.weights()[name], weights)


def test_starting_from_saved_weights_keeps_the_answers(tmp_path: Path) -> None:
    trainee = Trainee(0, None)
    step(trainee, 0)
    save(trainee.weights(), tmp_path)
    again = Trainee(1, tmp_path)
    for name, weights in load_file(tmp_path / "weights.safetensors").items():
        torch.testing.assert_close(again.weights()[name], weights)
    clips = normalise(make_batch(range(2), 24, cells=3).clips)
    trainee.model.load_state_dict(trainee.average.state)
    with torch.inference_mode():
        torch.testing.assert_close(again.model.eval()(clips), trainee.model.eval()(clips))
