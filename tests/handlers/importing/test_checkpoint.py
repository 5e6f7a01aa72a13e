"""Importing what people have: files that fit, and the first thing that does not."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from actionlens.card import read_card
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine
from handlers.errors import ModelError
from handlers.importing.checkpoint import import_model, main
from handlers.models.action_model import ActionModel
from handlers.tensor_files.weights import read_weights
from tests.handlers import networks


@pytest.fixture
def state() -> dict[str, Tensor]:
    return networks.module(networks.card()).state_dict()


def write(path: Path, **changes: object) -> Path:
    document = networks.card().model_dump(mode="json", exclude={"weights"}, exclude_none=True)
    path.write_text(yaml.safe_dump(document | changes))
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".npz", ".pth"])
def test_every_kind_of_file_gives_the_same_model(tmp_path: Path, suffix: str, state: dict[str, Tensor]) -> None:
    weights = tmp_path / f"weights{suffix}"
    match suffix:
        case ".safetensors":
            save_file(state, weights)
        case ".npz":
            np.savez(weights, **{name: tensor.numpy() for name, tensor in state.items()})
        case ".pt":
            torch.save(state, weights)
        case _:
            torch.save(
                {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, weights
            )
    folder = import_model(write(tmp_path / "card.yaml"), weights, tmp_path / "store").folder
    (answer,) = Engine.load(folder).explain([ClipRequest(networks.clip())])
    (expected,) = Engine(networks.model()).explain([ClipRequest(networks.clip())])
    assert isinstance(answer, ClipAnswer)
    assert isinstance(expected, ClipAnswer)
    assert torch.equal(answer.logits, expected.logits)
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["tiny"]


def test_the_first_tensor_that_does_not_fit_is_named_with_both_shapes(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["conv2.weight"] = state["conv2.weight"][:, :3].contiguous()
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"conv2\.weight is \[6, 3, 3, 3, 3\].* takes \[6, 4, 3, 3, 3\]"):
        import_model(write(tmp_path / "card.yaml"), tmp_path / "w.safetensors", tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["a", "b"]}, r"fc1\.weight is \[3, 6\], conv3d with 2 labels takes \[2, 6\]"),
        ({"labels": ["a", "a", "b"]}, "every label must be different"),
        ({"architecture": "tea"}, "'tea' is not known; known are .*conv3d"),
        ({"arguments": {"depth": 3}}, "arguments: conv3d: .*depth"),
        ({"layer": "relu9"}, "layer: 'relu9' is not a layer of conv3d"),
        ({"name": "../x"}, "name: "),
        ({"colour": 1}, "colour: Extra inputs are not permitted"),
        ({"input": {"frames": 0, "height": 12, "width": 16}}, "input.frames: "),
        ({"class_prior": [0.5, 0.1, 0.1]}, "class_prior: must be probabilities"),
    ],
)
def test_a_card_that_does_not_fit_is_refused_by_field(
    tmp_path: Path, state: dict[str, Tensor], change: dict[str, object], message: str
) -> None:
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=message):
        import_model(write(tmp_path / "card.yaml", **change), tmp_path / "w.safetensors", tmp_path / "store")


def test_missing_and_left_over_tensors_are_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    card = write(tmp_path / "card.yaml")
    save_file({**state, "extra.weight": torch.zeros(2)}, tmp_path / "more.safetensors")
    with pytest.raises(ModelError, match=r"extra\.weight \[2\] has no place"):
        import_model(card, tmp_path / "more.safetensors", tmp_path / "store")
    del state["conv1.bias"]
    save_file(state, tmp_path / "less.safetensors")
    with pytest.raises(ModelError, match=r"conv1\.bias \[4\] is missing"):
        import_model(card, tmp_path / "less.safetensors", tmp_path / "store")


class Payload:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pickle-was-run",)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"hello" * 100])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".npz"])
def test_damaged_files_are_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"w{suffix}: "):
        import_model(write(tmp_path / "card.yaml"), path, tmp_path / "store")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".npz"])
@pytest.mark.parametrize("share", [0.3, 0.95])
def test_the_first_part_of_a_file_is_refused(
    tmp_path: Path, suffix: str, share: float, state: dict[str, Tensor]
) -> None:
    path = tmp_path / f"w{suffix}"
    match suffix:
        case ".safetensors":
            save_file(state, path)
        case ".pt":
            torch.save(state, path)
        case _:
            np.savez(path, **{name: tensor.numpy() for name, tensor in state.items()})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match=rf"w{suffix}: cannot be read as {suffix}: "):
        import_model(write(tmp_path / "card.yaml"), path, tmp_path / "store")
    assert not list((tmp_path / "store").glob("*"))


def _mutated(content: bytes, seed: int) -> bytes:
    random = np.random.default_rng(seed)
    changed = bytearray(content)
    for place in random.integers(0, min(len(changed), 500), 2):
        changed[place] = random.integers(256)
    return bytes(changed)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zipped", [True, False])
def test_changed_bytes_are_refused_or_do_no_harm(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "w.pt"
    torch.save({"weight": torch.zeros(3)}, path, _use_new_zipfile_serialization=zipped)
    whole, refused = path.read_bytes(), 0
    for seed in range(300):
        path.write_bytes(_mutated(whole, seed))
        try:
            read_weights(path)
        except ModelError:
            refused += 1
    assert refused > 100


def _npz(path: Path, header: tuple[int, ...]) -> Path:
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": header})
    return path


def test_a_small_file_that_would_take_much_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"h\.npz: cannot be read as \.npz"):
        read_weights(_npz(tmp_path / "h.npz", (10**13,)))
    np.savez_compressed(tmp_path / "z.npz", weight=np.zeros(2**20, np.float32))
    with pytest.raises(ModelError, match=r"unpacks to would take 4 MB, the file holds 0\.0 MB"):
        read_weights(tmp_path / "z.npz")
    torch.save({"w": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "view.pt")
    with pytest.raises(ModelError, match="w would take 4000000 MB"):
        read_weights(tmp_path / "view.pt")
    torch.save({"weight": torch.zeros(2**20)}, tmp_path / "stored.pt")
    with zipfile.ZipFile(tmp_path / "stored.pt") as old, zipfile.ZipFile(tmp_path / "packed.pt", "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry), zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="unpacks to would take 4 MB"):
        read_weights(tmp_path / "packed.pt")


def test_what_is_no_plain_tensor_is_named(tmp_path: Path) -> None:
    for tensor in (torch.eye(3).to_sparse(), torch.zeros(3, device="meta")):
        torch.save({"odd.weight": tensor}, tmp_path / "w.pt")
        with pytest.raises(ModelError, match=r"odd\.weight is sparse, quantised or without values"):
            read_weights(tmp_path / "w.pt")
    np.savez(tmp_path / "text.npz", labels=np.array(["a"]))
    with pytest.raises(ModelError, match=r"text\.npz: cannot be read as \.npz: can't convert"):
        read_weights(tmp_path / "text.npz")


def test_tied_layers_are_imported(tmp_path: Path, state: dict[str, Tensor]) -> None:
    tied = ("conv1.weight", "conv1.bias")
    state[tied[1]] = state[tied[0]].flatten()[: len(state[tied[1]])]
    torch.save(state, tmp_path / "w.pt")
    folder = import_model(write(tmp_path / "card.yaml"), tmp_path / "w.pt", tmp_path / "store").folder
    saved = load_file(folder / "weights.safetensors")
    assert all(torch.equal(saved[name], state[name]) for name in tied)


def test_code_in_a_pickle_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Payload()}, "code.pt")
    Path("plain.pt").write_bytes(pickle.dumps(Payload(), protocol=2))
    for name in ("code.pt", "plain.pt"):
        with pytest.raises(ModelError, match=rf"{name}: holds more than tensors: posix\.mkdir, and code in a file is"):
            import_model(write(tmp_path / "card.yaml"), Path(name), tmp_path / "store")
    assert not Path("pickle-was-run").exists()


def test_not_finite_weights_are_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["fc1.bias"] = torch.tensor([0.0, float("nan"), 0.0])
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"fc1\.bias has values that are not finite"):
        import_model(write(tmp_path / "card.yaml"), tmp_path / "w.safetensors", tmp_path / "store")


def test_quantised_weights_are_not_taken_for_others(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["conv2.weight"] = (100 * state["conv2.weight"]).to(torch.int8)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"conv2\.weight is torch\.int8, conv3d takes torch\.float32; quantised"):
        import_model(write(tmp_path / "card.yaml"), tmp_path / "w.safetensors", tmp_path / "store")


def test_changed_weights_are_noticed_at_loading(tmp_path: Path) -> None:
    folder = networks.folder(tmp_path / "tiny")
    save_file(networks.module(networks.card(), seed=1).state_dict(), folder / "weights.safetensors")
    with pytest.raises(ModelError, match=r"weights\.sha256"):
        ActionModel.load(folder)


def test_the_command_replaces_only_when_told(
    tmp_path: Path, state: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(state, tmp_path / "w.safetensors")
    files = ["--card", str(write(tmp_path / "c.yaml")), "--weights", str(tmp_path / "w.safetensors")]
    arguments = [*files, "--store", str(tmp_path / "store")]
    assert main(arguments) == 0
    assert main(arguments) == 1
    assert "already in" in capsys.readouterr().err
    assert main([*arguments, "--replace"]) == 0
    assert read_card(tmp_path / "store" / "tiny").name == "tiny"
