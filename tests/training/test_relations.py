"""The temporal relation network's training: that it learns and goes on, and the bundled weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from actionlens.generated_clips.clips import HELD_OUT_SEED
from handlers.models.action_model import ActionModel
from training.batches import Batch, flipped, normalise
from training.relations import CELLS, SIZE, SNIPPET, SNIPPETS, Trainee, build, train, training_clips

FOLDER = Path(__file__).parents[2] / "model_store" / "motion-trn"
SEEDS = range(40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def clips(folder: Path) -> Batch:
    return training_clips(folder, SEEDS, processes=1)


def test_training_clips_are_made_once(folder: Path, clips: Batch) -> None:
    assert clips.clips.shape == (40, SNIPPET * SNIPPETS, SIZE, SIZE, 3)
    assert clips.cell_labels.shape == (40, SNIPPET * SNIPPETS, CELLS, CELLS)
    made = (folder / "clips.npy").stat().st_mtime_ns
    again = training_clips(folder, SEEDS)
    assert (folder / "clips.npy").stat().st_mtime_ns == made
    assert np.array_equal(again.labels, clips.labels)


def test_a_fresh_first_layer_is_blind_to_what_rests() -> None:
    torch.manual_seed(0)
    first = build().backbone.features[0]
    assert isinstance(first, nn.Conv3d)
    still = torch.randn(1, 3, 1, 12, 12).expand(-1, -1, 2, -1, -1)
    moving = torch.randn(1, 3, 2, 12, 12)
    assert first(still).norm() < 0.3 * first(moving).norm()


def test_every_weight_learns_and_the_loss_falls(clips: Batch) -> None:
    torch.manual_seed(0)
    trainee = Trainee(build())
    before = {name: value.clone() for name, value in trainee.model.named_parameters()}
    rng = np.random.default_rng(0)
    batch = flipped(rng, Batch(clips.clips[:8], clips.labels[:8], clips.cell_labels[:8]))
    falling = [trainee.step(batch, 1e-3, rng)[0] for _ in range(6)]
    assert falling[-1] < falling[0]
    assert all((value != before[name]).any() for name, value in trainee.model.named_parameters())


def test_training_goes_on_where_it_stopped(folder: Path, clips: Batch) -> None:
    train(0, folder, 1, resume=False, seeds=SEEDS)
    first = load_file(folder / "weights.safetensors")
    train(0, folder, 2, resume=True, seeds=SEEDS)
    second = load_file(folder / "weights.safetensors")
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["done"] == 2
    changed = [name for name, value in first.items() if not torch.equal(value, second[name])]
    assert "backbone.features.0.weight" in changed


def test_the_bundled_weights_name_what_moves(tmp_path: Path) -> None:
    """150 held-out clips of ten classes."""
    first = HELD_OUT_SEED + 100_000
    held_out = training_clips(tmp_path, range(first, first + 150), processes=1)
    model = ActionModel.load(FOLDER)
    with torch.inference_mode():
        answers = model.program.forward(normalise(held_out.clips), relevance=False).logits.argmax(1).numpy()
    assert np.mean(answers == held_out.labels) > 0.7
    assert (FOLDER / "weights.safetensors").stat().st_size < 5_000_000
