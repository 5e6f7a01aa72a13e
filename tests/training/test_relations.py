"""The temporal relation network's training: what it sees, its start, that it learns, and the bundled weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from handlers.models.action_model import ActionModel
from handlers.models.consensus import RelationalConsensus
from training.batches import Batch, normalise
from training.clips import HELD_OUT_SEED
from training.regression import fit_last_layers
from training.relations import FRAMES, SEEN, Trainee, build, train, training_clips
from training.waves import start_with_drift, start_with_waves

FOLDER = Path(__file__).parents[2] / "model_store" / "motion-trn"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    return training_clips(tmp_path_factory.mktemp("clips") / "clips.npz", range(40))


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    first = HELD_OUT_SEED + 100_000
    return training_clips(tmp_path_factory.mktemp("held-out") / "clips.npz", range(first, first + 150))


def test_it_sees_eight_frames_spread_over_the_clip(clips: Batch) -> None:
    assert SEEN.tolist() == [0, 2, 4, 6, 9, 11, 13, 15]
    assert clips.clips.shape == (40, FRAMES, 48, 48, 3)


def test_a_fresh_relation_tells_where_a_wave_goes() -> None:
    """A dot that moves right excites other units than the same frames in reverse; at rest it excites none."""
    torch.manual_seed(0)
    vector = nn.Conv3d(1, 24, (1, 8, 8), bias=False)
    start_with_waves(vector)
    maps = torch.zeros(2, 1, 4, 8, 8)
    for time in range(4):
        maps[0, 0, time, 4, 2 * time] = 1.0
        maps[1, 0, time, 4, 3] = 1.0
    features = vector(maps).flatten(2).transpose(1, 2)
    relation = next(r for r in RelationalConsensus(24, 64, 3, 4).used(4) if r.scale == 4)
    start_with_drift(relation, 24)

    def excited(frames: Tensor) -> Tensor:
        return torch.relu(relation.first(frames.flatten()) - relation.first.bias)

    there, back, rest = excited(features[0]), excited(features[0].flip(0)), excited(features[1])
    assert rest.max() < 1e-5 * there.max()
    assert torch.corrcoef(torch.stack((there, back)))[0, 1] < 0.5


def test_the_last_layers_are_fitted_to_what_they_read() -> None:
    torch.manual_seed(0)
    consensus = RelationalConsensus(6, 20, 3, 3)
    features = torch.randn(400, 4, 6)
    with torch.no_grad():
        labels = torch.bucketize(features[:, -1, 0] - features[:, 0, 0], torch.tensor([-0.8, 0.8]))
        before = (consensus(features).argmax(1) == labels).float().mean()
        fit_last_layers(consensus, features, labels)
        after = (consensus(features).argmax(1) == labels).float().mean()
    assert after > before + 0.2
    assert after > 0.6


def test_every_weight_learns_and_the_loss_falls(clips: Batch) -> None:
    torch.manual_seed(0)
    trainee = Trainee(build())
    before = {name: value.clone() for name, value in trainee.model.named_parameters()}
    batch = Batch(clips.clips[:8], clips.labels[:8], clips.places[:8])
    falling = [trainee.step(batch, 1e-3) for _ in range(6)]
    assert falling[-1] < falling[0]
    assert all((value != before[name]).any() for name, value in trainee.model.named_parameters())


def test_training_goes_on_where_it_stopped(clips: Batch, tmp_path: Path) -> None:
    np.savez(tmp_path / "clips.npz", clips=clips.clips, labels=clips.labels)
    train(0, tmp_path, 1, resume=False)
    first = load_file(tmp_path / "weights.safetensors")
    train(0, tmp_path, 2, resume=True)
    second = load_file(tmp_path / "weights.safetensors")
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["done"] == 2
    changed = [name for name, value in first.items() if not torch.equal(value, second[name])]
    assert "backbone.features.0.weight" in changed


def test_the_bundled_weights_answer_better_than_by_chance(held_out: Batch) -> None:
    """150 held-out clips of ten classes. TRAINING.md says how little that is."""
    model = ActionModel.load(FOLDER)
    with torch.inference_mode():
        answers = model.program.forward(normalise(held_out.clips), relevance=False).logits.argmax(1).numpy()
    assert np.mean(answers == held_out.labels) > 0.2  # 0.293 on the 1000 clips of TRAINING.md
    assert (FOLDER / "weights.safetensors").stat().st_size < 5_000_000
