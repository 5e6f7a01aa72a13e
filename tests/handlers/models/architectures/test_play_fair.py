"""Play Fair's networks, imported from the directory that its repository's script leaves."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch

from handlers.errors import ModelError
from handlers.importing.checkpoint import import_checkpoint
from tests.handlers import networks
from tests.handlers.models.architectures import checks, published
from tests.handlers.models.architectures.test_frame_layouts import (
    BNINCEPTION,
    CLASSES,
    RESNET50,
    SIZE,
    State,
    answered,
    doubled,
    imported,
    shown,
    small,
)


def test_play_fairs_sizes() -> None:
    heads = sum((scale * 256 + 1) * 256 + 257 * CLASSES for scale in range(1, 9))
    assert checks.parameters("play-fair-mtrn", CLASSES) == BNINCEPTION + 1025 * 256 + heads
    assert checks.parameters("play-fair-tsn", CLASSES) == RESNET50 + 2049 * 256 + 257 * CLASSES


def play_fair(folder: Path, name: str) -> tuple[State, list[State]]:
    """The directory that the download script leaves, of a small network: its backbone and its heads."""
    state = small(name)
    names = {"base_model.": "", "new_fc.": "last_linear."}
    backbone = {
        new + key.removeprefix(old): tensor
        for key, tensor in state.items()
        for old, new in names.items()
        if key.startswith(old)
    }
    if name == "play-fair-tsn":
        heads = {"features/tsn": {key: state[f"consensus.{key}"] for key in ("classifier.weight", "classifier.bias")}}
    else:
        heads = {
            f"features/trn_{place + 1}_frames": {
                f"model.{number}.{kind}": state[f"consensus.relations.{place}.{layer}.{kind}"]
                for number, layer in ((1, "first"), (3, "last"))
                for kind in ("weight", "bias")
            }
            for place in range(3)
        }
    for part, tensors in {f"backbones/{name[10:].replace('mtrn', 'trn')}": backbone, **heads}.items():
        path = folder / f"{part}.pth"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"epoch": 3, "args": argparse.Namespace(lr=0.1, dropout=0.7), "model": tensors}, path)
    return doubled(backbone), [doubled(head) for head in heads.values()]


@pytest.mark.parametrize("name", ["play-fair-mtrn", "play-fair-tsn"])
def test_play_fairs_directory_is_served_as_its_repository_runs_it(tmp_path: Path, name: str) -> None:
    backbone, heads = play_fair(tmp_path / "checkpoints", name)
    made = imported(tmp_path, name, tmp_path / "checkpoints", divisor=16)
    clip = networks.clip(frames=5, height=SIZE, width=SIZE)  # of any length
    pixels = shown(name, clip)
    if name == "play-fair-mtrn":
        expected = published.play_fair_mtrn(backbone, heads, pixels)
    else:
        expected = published.play_fair_tsn(backbone, heads[0], pixels)
    torch.testing.assert_close(answered(made, clip), expected, rtol=1e-4, atol=1e-4)
    assert made.methods["esv"] == ""


def test_a_part_of_play_fairs_network_is_refused_and_says_what_is_missing(tmp_path: Path) -> None:
    play_fair(tmp_path, "play-fair-mtrn")
    both = r"give the directory that has both, backbones/trn\.pth and features/trn_1_frames\.pth to"
    for part, tensor in (("backbones/trn", r"last_linear\.weight \[6, 64\]"), ("features/trn_2_frames", "1.weight")):
        with pytest.raises(ModelError, match=rf"weights: .*{tensor}.* alone.*{both}"):
            import_checkpoint("play-fair-mtrn", tmp_path / f"{part}.pth", tmp_path / "store")
    (tmp_path / "features/trn_2_frames.pth").unlink()
    with pytest.raises(ModelError, match=r"features/trn_2_frames\.pth"):
        import_checkpoint("play-fair-mtrn", tmp_path, tmp_path / "store")
    with pytest.raises(ModelError, match=r"backbones/tsn\.pth"):
        import_checkpoint("play-fair-tsn", tmp_path, tmp_path / "store")
