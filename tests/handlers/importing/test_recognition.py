"""Checkpoints without a card: recognised by their tensors, or refused by the first that does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from actionlens.card import read_card
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine
from handlers.errors import ModelError
from handlers.importing.checkpoint import ImportedModel, import_checkpoint, main, recognised_family
from handlers.importing.recognition import fit, looks_like
from handlers.models import family
from handlers.models.family_registry import families
from tests.handlers import networks

CLASSES = 4


@pytest.fixture
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return family("motion-cnn").build(classes=CLASSES).state_dict()


def imported(tmp_path: Path, state: dict[str, Tensor], labels: list[str] | None = None) -> ImportedModel:
    torch.save(state, tmp_path / "My Net.v2.pth")
    if labels is not None:
        (tmp_path / "labels.txt").write_text("\n".join(labels) + "\n")
    named = tmp_path / "labels.txt" if labels is not None else None
    return import_checkpoint("motion-cnn", tmp_path / "My Net.v2.pth", tmp_path / "store", labels_path=named)


@pytest.mark.parametrize("prefix", ["", "module.", "encoder.net."])
def test_a_checkpoint_needs_no_card(tmp_path: Path, state: dict[str, Tensor], prefix: str) -> None:
    made = imported(tmp_path, {prefix + name: tensor for name, tensor in state.items()}, ["a", "b", "c", "d"])
    card = read_card(made.folder)
    assert (card.name, card.architecture, card.labels) == ("my-net", "motion-cnn", ("a", "b", "c", "d"))
    assert card.input == family("motion-cnn").input
    assert made.methods["atr"] == ""
    assert [note for note in made.notes if "prefix" in note] == (
        ["prefix 'encoder.net.' taken off"] if prefix == "encoder.net." else []
    )
    clip = networks.clip(frames=16, height=112, width=112)
    (answer,) = Engine.load(made.folder).explain([ClipRequest(clip)])
    assert isinstance(answer, ClipAnswer)
    module = family("motion-cnn").build(classes=CLASSES)
    module.load_state_dict(state)
    pixels = torch.from_numpy(clip).permute(3, 0, 1, 2)[None].float() / 255
    with torch.no_grad():
        expected = module.eval()((pixels - 0.5) / 0.25)[0]
    torch.testing.assert_close(torch.as_tensor(answer.logits), expected, atol=1e-5, rtol=1e-4)


def test_without_labels_classes_are_numbered_and_it_is_said_once(tmp_path: Path, state: dict[str, Tensor]) -> None:
    made = imported(tmp_path, state)
    assert read_card(made.folder).labels == ("0", "1", "2", "3")
    assert [note for note in made.notes if "by number" in note] == [made.notes[-1]]


def test_the_frames_that_are_assumed_are_said_and_can_be_others(tmp_path: Path, state: dict[str, Tensor]) -> None:
    assert [note for note in imported(tmp_path, state).notes if "clips are 16 frames of 112 x 112" in note]
    long = f"{'segments-of-24-frames' * 4}.pth"
    torch.save(state, tmp_path / long)
    made = import_checkpoint("motion-cnn", tmp_path / long, tmp_path / "store", frames=24)
    card = read_card(made.folder)
    assert (card.input.frames, len(card.name)) == (24, 64)
    assert not [note for note in made.notes if "clips are" in note]
    with pytest.raises(ModelError, match=r"input\.frames: "):
        import_checkpoint("motion-cnn", tmp_path / long, tmp_path / "store", name="any", frames=-1)


def test_another_number_of_labels_is_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    with pytest.raises(ModelError, match=r"labels: .*labels\.txt has 3 labels, the weights have 4 classes"):
        imported(tmp_path, state, ["a", "b", "c"])


def test_a_head_of_another_name_is_mapped(state: dict[str, Tensor]) -> None:
    state["fc.1.weight"], state["fc.1.bias"] = state.pop("head.weight"), state.pop("head.bias")
    fitted = fit(family("motion-cnn"), state)
    assert fitted.classes == CLASSES
    assert fitted.state["head.weight"] is state["fc.1.weight"]
    assert fitted.notes == ("fc.1.weight is taken for head.weight", "fc.1.bias is taken for head.bias")


def test_a_partial_file_is_recognised_as_one(state: dict[str, Tensor]) -> None:
    del state["features.6.weight"], state["features.9.weight"]
    with pytest.raises(
        ModelError, match=r"features\.6\.weight \[96, 48, 3, 3, 3\] is missing; .* 45 of the 47 .* part of"
    ):
        fit(family("motion-cnn"), state)


def test_the_first_other_shape_is_named_with_both(state: dict[str, Tensor]) -> None:
    state["features.3.weight"] = torch.zeros(48, 12, 3, 3, 3)
    with pytest.raises(
        ModelError, match=r"features\.3\.weight is \[48, 12, 3, 3, 3\], motion-cnn takes \[48, 24, 3, 3, 3\]"
    ):
        fit(family("motion-cnn"), state)


def test_a_tensor_without_a_place_is_named(state: dict[str, Tensor]) -> None:
    state["features.99.weight"] = torch.zeros(2)
    with pytest.raises(ModelError, match=r"features\.99\.weight \[2\] has no place in motion-cnn"):
        fit(family("motion-cnn"), state)


def test_a_checkpoint_of_another_family_is_named(state: dict[str, Tensor]) -> None:
    other = family("trn").build(classes=5).state_dict()
    assert looks_like(other) == (("trn",), 1.0)
    with pytest.raises(ModelError, match=r"\[16, 3, 1, 3, 3\], motion-cnn takes .*like trn \(100%.*--family trn"):
        fit(family("motion-cnn"), {f"module.{name}": tensor for name, tensor in other.items()})
    with pytest.raises(ModelError, match="it looks like no known family's"):
        fit(family("motion-cnn"), {"blocks.0.attn.weight": torch.zeros(3, 3)})


@pytest.mark.parametrize("name", [name for name, entry in families().items() if entry.network is None])
def test_every_family_is_recognised_by_its_own_tensors(name: str) -> None:
    with torch.device("meta"):
        tensors = family(name).build(classes=7).state_dict()
        state = {f"module.{key}": tensor for key, tensor in tensors.items()}
        # Some families differ in their input alone: X3D-XS and X3D-S, SlowFast 8x8 and 16x8.
        names, share = looks_like(state)
        found = family(names[0]).build(classes=7).state_dict()
    assert name in names
    assert share == 1.0
    assert {key: tensor.shape for key, tensor in found.items()} == {key: t.shape for key, t in tensors.items()}
    assert fit(family(name), state).classes == 7


def test_families_that_differ_in_their_input_alone_are_all_named() -> None:
    state = dict(family("x3d-xs").build(classes=3).state_dict())
    with pytest.raises(ModelError, match=r"looks like x3d-m or x3d-s or x3d-xs \(100%"):
        fit(family("slow-r50"), state)
    del state["blocks.3.res_blocks.0.branch2.conv_a.weight"]
    with pytest.raises(ModelError, match=r"conv_a\.weight .* is missing; .* part of such a checkpoint"):
        fit(family("x3d-xs"), state)


def test_a_family_without_a_published_input_asks_for_a_card(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"family: conv3d has no published checkpoints .* import CARD"):
        import_checkpoint("conv3d", tmp_path / "any.pth", tmp_path / "store")


def recognised(folder: Path, state: dict[str, Tensor]) -> tuple[str, str]:
    torch.save({"state_dict": state}, folder / "some.pth")
    return recognised_family(folder / "some.pth")


def test_the_family_may_be_left_out(
    tmp_path: Path, state: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    name, said = recognised(tmp_path, {f"module.{key}": tensor for key, tensor in state.items()})
    assert name == "motion-cnn"
    assert "motion-cnn, with which 100% of the tensors agree" in said
    arguments = ["--weights", str(tmp_path / "some.pth"), "--store", str(tmp_path / "store")]
    assert main(arguments) == 0
    assert said in json.loads(capsys.readouterr().out)["notes"]
    assert read_card(tmp_path / "store" / "some").architecture == "motion-cnn"


def test_the_first_tensor_that_is_another_is_named_of_a_family_left_out(
    tmp_path: Path, state: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    first = next(name for name in state if state[name].dim() == 5)
    state[first] = torch.zeros(*state[first].shape[:-1], 5)
    name, said = recognised(tmp_path, state)
    assert name == "motion-cnn"
    assert "100%" not in said
    assert main(["--weights", str(tmp_path / "some.pth"), "--store", str(tmp_path / "store")]) == 1
    assert f"weights: {first} is [" in capsys.readouterr().err


def test_what_is_no_familys_or_several_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"looks like no known family's.*--family NAME, write a card, or .*--module"):
        recognised(tmp_path, {"a.weight": torch.zeros(2, 3), "a.bias": torch.zeros(2)})
    with pytest.raises(ModelError, match=r"100% of the tensors fit x3d-m, x3d-s, x3d-xs alike; --family chooses"):
        recognised(tmp_path, family("x3d-s").build(classes=3).state_dict())
    with pytest.raises(ModelError, match="is a directory"):
        recognised_family(tmp_path)
