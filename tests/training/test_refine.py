"""Version 2 starts as what it shares with version 1, and goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from actionlens.generated_clips.clips import generate
from actionlens.generated_clips.labels import NAMES
from handlers.models.architectures.motion_cnn import MotionCNN
from training import clip_sets
from training.calibrate import temperature
from training.clip_sets import Masked, of_seeds
from training.evaluate import Answer, calibration_error, load_model, size_of
from training.refine import Recipe, Source, Trainee, build, save, start, train


@pytest.fixture(scope="module")
def few() -> Masked:
    return of_seeds(lambda seed: generate(seed, size=112), range(12))


@pytest.fixture
def sets(few: Masked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(clip_sets, "PART", len(few))
    for name in ("rooms", "webcam"):
        (tmp_path / name).mkdir()
        np.savez(
            tmp_path / name / "0000.labels.npz",
            labels=few.labels,
            strokes=few.strokes,
            masks=np.packbits(few.masks, -1),
        )
        np.save(tmp_path / name / "0000.npy", few.clips)
    return tmp_path


def test_the_start_sees_what_version_1_saw(tmp_path: Path) -> None:
    torch.manual_seed(0)
    old = MotionCNN(10).eval()
    for layer in old.features:
        if isinstance(layer, torch.nn.BatchNorm3d):
            layer.running_mean.uniform_(-0.1, 0.1)
    first = old.features[0].weight
    # As version 1 was trained: a layer for half of the size, on 2 x 2 means.
    with torch.no_grad():
        first.copy_(functional.avg_pool3d(first, (1, 2, 2)).repeat_interleave(2, 3).repeat_interleave(2, 4))
    save_file(old.state_dict(), tmp_path / "old.safetensors")
    new = start(tmp_path / "old.safetensors", 3).eval()
    clip = torch.rand(1, 3, 5, 64, 64)
    whole = start(tmp_path / "old.safetensors", 6).eval()
    with torch.inference_mode():
        means = functional.avg_pool3d(clip, (1, 2, 2))
        torch.testing.assert_close(whole(means)[:, :10], old(clip), rtol=1e-4, atol=1e-5)
        wanted = old.features[: len(new.features)](clip)
        torch.testing.assert_close(new.features(functional.avg_pool3d(clip, (1, 2, 2))), wanted, rtol=1e-4, atol=1e-5)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(sets: Path) -> None:
    started = build(3).state_dict()

    def fresh() -> MotionCNN:
        model = build(3)
        model.load_state_dict(started)
        return model

    def run(folder: Path, *steps: int) -> dict[str, torch.Tensor]:
        for count in steps:
            # A rate of one height, whatever the number of steps: only the stop is tried here.
            train(3, sets, folder, fresh(), Recipe(steps=count, rate=0.0, explained=0), resume=True)
        found = torch.load(folder / "checkpoint.pt", weights_only=True)
        assert found["done"] == 2
        return dict(found["average"])

    whole, parts = run(sets / "whole", 2), run(sets / "parts", 1, 2)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value)
    assert any(not torch.equal(whole[name], started[name]) for name in whole)
    assert (sets / "whole" / "labels.txt").read_text(encoding="utf-8").split("\n")[:-1] == list(NAMES)


def test_every_part_of_the_loss_falls_on_a_batch_seen_again_and_again(few: Masked, sets: Path) -> None:
    torch.manual_seed(0)
    trainee = Trainee(build(3), [Source(clip_sets.ClipSet(sets / "rooms"))] * 2)
    losses = []
    for _ in range(6):
        parts, _ = trainee.losses(few, 0.3)
        losses.append({name: float(part.detach()) for name, part in parts.items()})
        for group in trainee.optimiser.param_groups:
            group["lr"] = 2e-3
        trainee.optimiser.zero_grad()
        sum(parts.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
        trainee.optimiser.step()
    assert set(losses[0]) == {"clip", "cells", "evidence", "relevance"}
    assert all(losses[-1][name] < losses[0][name] for name in losses[0])


def test_weights_tell_which_network_they_are_of(tmp_path: Path) -> None:
    save({name: value.contiguous() for name, value in build(3).state_dict().items()}, tmp_path)
    model = load_model(tmp_path)
    assert size_of(model) == 56
    assert len(model.head.bias) == 11
    assert load_file(tmp_path / "weights.safetensors").keys() == model.state_dict().keys()


def test_the_temperature_undoes_what_the_logits_were_multiplied_by() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 5, generator=rng)
    labels = torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]
    assert temperature(2.5 * logits, labels) == pytest.approx(2.5, rel=0.1)


def test_calibration_error_by_hand() -> None:
    """Sure at 0.9 and right half of the time; at 0.3 and always right: (2 x 0.4 + 1 x 0.7) / 3."""
    answers = [Answer(0, 0, 0.9, 0, 0), Answer(1, 0, 0.9, 0, 0), Answer(2, 2, 0.3, 0, 0)]
    assert calibration_error(answers) == pytest.approx((2 * 0.4 + 0.7) / 3)
