"""What no tensor tells and the network's name does: pooling over time of IBM's checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from actionlens.card import read_card
from handlers.errors import ModelError
from handlers.importing.checkpoint import import_model
from handlers.models import family

WIDTHS = [4, 4, 4, 4]


def imported(folder: Path, architecture: str, arch: str | None, weights: Path, **arguments: object) -> dict[str, Any]:
    """The arguments on the card that importing writes, where the checkpoint calls its network `arch`."""
    document = {
        "name": "net",
        "architecture": architecture,
        "arguments": {"widths": WIDTHS, **arguments},
        "labels": ["a", "b", "c"],
        "input": {"frames": 16, "height": 32, "width": 32},
    }
    card = folder / "card.yaml"
    card.write_text(yaml.safe_dump(document))
    torch.manual_seed(0)
    state = family(architecture).build(classes=3, widths=WIDTHS).state_dict()
    weights.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state} if arch is None else {"arch": arch, "state_dict": state}, weights)
    made = import_model(card, weights, folder / "store")
    found = read_card(made.folder).arguments
    pooled = "temporal_pooling" in found and "temporal_pooling" not in arguments
    assert pooled == any("temporal_pooling" in note for note in made.notes)
    return found


@pytest.mark.parametrize(
    ("architecture", "arch", "pooling"),
    [
        ("tam-resnet18", "kinetics400-rgb-TAM-b3-sum-resnet-18-ts-max-f8-cosine-bs64-e75", "max"),
        ("tam-resnet18", "st2stv2-rgb-TAM-b3-sum-allc-resnet-18-ts-avg-f16", "average"),
        ("tam-resnet18", "kinetics400-rgb-TAM-b3-sum-resnet-18-f8-cosine-bs64-e75", None),
        ("i3d-resnet18", "kinetics400-rgb-i3d-resnet-18-ts-f32", True),
        ("i3d-resnet18", "kinetics400-rgb-i3d-resnet-18-f32", None),
    ],
)
def test_pooling_over_time_is_read_off_the_name(tmp_path: Path, architecture: str, arch: str, pooling: object) -> None:
    assert imported(tmp_path, architecture, arch, tmp_path / "w.pth").get("temporal_pooling") == pooling


@pytest.mark.parametrize("place", ["TAM-b3-sum-resnet-18-ts-max-f8.pth", "TAM-b3-sum-resnet-18-ts-max-f8/best.pth"])
def test_without_it_the_names_of_file_and_folder_say(tmp_path: Path, place: str) -> None:
    assert imported(tmp_path, "tam-resnet18", None, tmp_path / place)["temporal_pooling"] == "max"


def test_the_checkpoint_knows_better_than_the_files_name(tmp_path: Path) -> None:
    found = imported(tmp_path, "tam-resnet18", "x-rgb-TAM-b3-sum-resnet-18-f8", tmp_path / "resnet-18-ts-max.pth")
    assert "temporal_pooling" not in found


@pytest.mark.parametrize(
    ("arch", "arguments", "message"),
    [
        ("x-rgb-TAM-b3-max-resnet-18-f8", {}, "blends neighbouring frames by 'max'"),
        ("x-rgb-TAM-b3-sum-resnet-18-ts-median-f8", {}, "by 'median'; known are -ts-max, -ts-avg"),
        ("x-rgb-TAM-b3-sum-resnet-18-ts-max-f8", {"temporal_pooling": "none"}, "the card has .*none.*has .*max"),
    ],
)
def test_another_network_is_refused_by_name(
    tmp_path: Path, arch: str, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        imported(tmp_path, "tam-resnet18", arch, tmp_path / "w.pth", **arguments)
