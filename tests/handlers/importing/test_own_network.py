"""Guessing the card of a network by running it: what is guessed, and what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from actionlens.card import read_card
from handlers.errors import ModelError
from handlers.importing.checkpoint import ImportedModel, import_network, main

FRAMES, SIZE = 4, (12, 16)


def guessed(folder: Path, **parts: str) -> ImportedModel:
    """Import a network whose lines are replaced by parts; its weights are saved behind `module.`, as wrappers do."""
    lines = {
        "arguments": "num_classes",
        "body": "nn.Conv3d(3, 4, 3, padding=1)",
        "head": "nn.Linear(4, num_classes)",
        "answer": "self.head(self.body(x).relu().mean((2, 3, 4)))",
    } | parts
    source = (
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        f"    def __init__(self, {lines['arguments']}):\n"
        "        super().__init__()\n"
        f"        self.body = {lines['body']}\n"
        f"        self.head = {lines['head']}\n"
        "    def forward(self, x):\n"
        f"        return {lines['answer']}\n"
    )
    path = folder / "guessed.py"
    path.write_text(source)
    found: dict[str, Any] = {}
    exec(source, found)
    network = found["Net"](5) if lines["arguments"] else found["Net"]()
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"epoch": 1, "state_dict": state}, folder / "w.pth")
    return import_network(
        f"{path}:Net", folder / "w.pth", folder / "store", frames=FRAMES, size=SIZE, name="mine", trust_code=True
    )


def test_classes_come_from_the_weights_and_the_layer_from_a_run(tmp_path: Path) -> None:
    made = guessed(tmp_path)
    card = read_card(made.folder)
    assert card.labels == ("0", "1", "2", "3", "4")
    assert card.layer == "body"
    assert (card.input.frames, card.input.height, card.input.width) == (FRAMES, *SIZE)
    said = "\n".join(made.notes)
    assert "Grad-CAM reads body, [4, 4, 12, 16]" in said
    assert "input: {mean: ..., std: ...}" in said


def test_a_network_of_fixed_classes_tells_them_by_its_answer(tmp_path: Path) -> None:
    card = read_card(guessed(tmp_path, arguments="", head="nn.Linear(4, 7)").folder)
    assert len(card.labels) == 7


def test_a_network_without_maps_has_no_layer(tmp_path: Path) -> None:
    made = guessed(tmp_path, body="nn.Linear(3, 4)", answer="self.head(self.body(x.mean((2, 3, 4))).relu())")
    assert read_card(made.folder).layer == ""
    assert "no layer puts out a map" in "\n".join(made.notes)
    assert made.methods["grad-cam"]
    assert made.methods["dtd"] == ""


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"answer": "self.head(self.body(x.transpose(1, 2)).mean((2, 3, 4)))"}, r"self\.net\(x\.transpose\(1, 2\)\)"),
        ({"answer": "self.head(self.body(x).mean((3, 4)).transpose(1, 2))"}, r"logits \[1, K\], and: \[1, 4, 5\]"),
        ({"answer": "{'logits': self.head(self.body(x).mean((2, 3, 4)))}"}, "puts out a dict"),
        ({"answer": "self.head(self.body(x[..., :9, 9]))"}, "RuntimeError"),
        ({"arguments": "num_classes, width", "head": "nn.Linear(4, 5)"}, "width"),
    ],
)
def test_what_it_does_with_a_clip_is_said(tmp_path: Path, parts: dict[str, str], message: str) -> None:
    if "width" in parts.get("arguments", ""):
        (tmp_path / "guessed.py").write_text("class Net:\n    def __init__(self, num_classes, width): ...\n")
        torch.save({"body.weight": torch.zeros(1)}, tmp_path / "w.pth")
        with pytest.raises(ModelError, match=message):
            import_network(
                f"{tmp_path / 'guessed.py'}:Net", tmp_path / "w.pth", tmp_path, frames=2, size=SIZE, trust_code=True
            )
        return
    with pytest.raises(ModelError, match=message):
        guessed(tmp_path, **parts)


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    guessed(tmp_path)
    torch.save({"body.weight": torch.zeros(4, 3, 3, 3, 3), "body.bias": torch.zeros(4)}, tmp_path / "w.pth")
    arguments = ["--module", f"{tmp_path / 'guessed.py'}:Net", "--weights", str(tmp_path / "w.pth"), "--store"]
    arguments += [str(tmp_path / "store"), "--frames", "4", "--size", "12x16", "--trust-code"]
    with pytest.raises(ModelError, match=r"head\.weight \[K, 4\] is missing; the file has 2 of the 4 tensors"):
        import_network(
            f"{tmp_path / 'guessed.py'}:Net", tmp_path / "w.pth", tmp_path, frames=4, size=SIZE, trust_code=True
        )
    assert main(arguments) == 1
