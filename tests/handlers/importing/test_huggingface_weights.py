"""Directories with more in them than one model's weights: the files that transformers itself reads, and no others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from handlers.engine.engine import ClipAnswer, ClipRequest, Engine
from handlers.errors import ModelError
from handlers.importing.checkpoint import import_checkpoint
from tests.handlers import networks
from tests.handlers.models.architectures import directories

FAMILY = "timesformer"
CLIP = networks.clip(0, directories.FRAMES, directories.SIZE, directories.SIZE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return directories.saved(directories.classifier(FAMILY), tmp_path / "hub")


def other(path: Path, seed: int = 7) -> Path:
    """Weights of the same names and shapes, and other values."""
    torch.manual_seed(seed)
    save_file({name: torch.randn_like(tensor) * 0.3 for name, tensor in _state().items()}, path)
    return path


def _state() -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in directories.classifier(FAMILY).state_dict().items()}


def check(folder: Path, store: Path, *said: str, **options: Any) -> None:
    """What was imported answers as the library does with what it reads of the directory; `said` are in one note."""
    made = import_checkpoint(FAMILY, folder, store, weights_key=options.get("variant", ""))
    engine = Engine.load(made.folder)
    (answer,) = engine.explain([ClipRequest(CLIP)])
    assert isinstance(answer, ClipAnswer)
    library = type(directories.classifier(FAMILY)).from_pretrained(folder, attn_implementation="eager", **options)
    with torch.no_grad():
        expected = directories.logits(library.eval(), engine.model.prepare([CLIP])).logits[0]
    torch.testing.assert_close(torch.as_tensor(answer.logits), expected, atol=1e-4, rtol=1e-4)
    notes = [note for note in made.notes if "not read" in note]
    assert len(notes) == bool(said)
    assert all(word in notes[0] for word in said)


def sharded(folder: Path) -> list[Path]:
    (folder / "model.safetensors").unlink()
    directories.classifier(FAMILY).save_pretrained(folder, max_shard_size="40KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 2
    return shards


def test_one_file_has_no_company(folder: Path, tmp_path: Path) -> None:
    check(folder, tmp_path / "store")


def test_other_weights_beside_it_are_named_and_not_read(folder: Path, tmp_path: Path) -> None:
    other(folder / "model_old.safetensors")
    other(folder / "model-00001-of-00002.safetensors")
    torch.save(_state(), folder / "pytorch_model.bin")
    (folder / "checkpoint-500").mkdir()
    other(folder / "checkpoint-500" / "model.safetensors")
    said = (
        "model.safetensors",
        "model_old.safetensors",
        "model-00001-of-00002",
        "pytorch_model.bin",
        "checkpoint-500/",
    )
    check(folder, tmp_path / "store", *said)


def test_shards_are_those_of_the_index(folder: Path, tmp_path: Path) -> None:
    sharded(folder)
    other(folder / "model-00001-of-00099.safetensors")
    check(folder, tmp_path / "store", "model.safetensors.index.json", "model-00001-of-00099.safetensors")


def test_one_file_goes_before_shards(folder: Path, tmp_path: Path) -> None:
    sharded(folder)
    other(folder / "model.safetensors")
    check(folder, tmp_path / "store", "model.safetensors,", "model.safetensors.index.json")


def test_safetensors_go_before_pickles(folder: Path, tmp_path: Path) -> None:
    parts = sharded(folder)
    torch.save(load_file(other(tmp_path / "other.safetensors")), folder / "pytorch_model.bin")
    check(folder, tmp_path / "store", "pytorch_model.bin")
    # The pickles are read once nothing else is there.
    for part in (*parts, folder / "model.safetensors.index.json"):
        part.unlink()
    made = import_checkpoint(FAMILY, folder, tmp_path / "second")
    (saved,) = made.folder.glob("*.safetensors")
    assert torch.equal(
        load_file(saved)["classifier.weight"], torch.load(folder / "pytorch_model.bin")["classifier.weight"]
    )


def test_pickled_shards_are_those_of_their_index(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    names = list(_state())
    parts = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for file, part in parts.items():
        torch.save({name: _state()[name] for name in part}, folder / file)
    table = {name: file for file, part in parts.items() for name in part}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": table}))
    torch.save({"classifier.weight": torch.zeros(3, 24)}, folder / "pytorch_model_best.bin")
    check(folder, tmp_path / "store", "pytorch_model_best.bin")


def test_a_variant_is_read_when_asked_for(folder: Path, tmp_path: Path) -> None:
    other(folder / "model.fp16.safetensors")
    check(folder, tmp_path / "plain", "model.safetensors,", "model.fp16.safetensors")
    check(folder, tmp_path / "variant", "model.fp16.safetensors,", "model.safetensors", variant="fp16")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"holds neither .*model\.fp16\.safetensors.*--weights-key fp16"):
        import_checkpoint(FAMILY, folder, tmp_path / "store")
    with pytest.raises(ModelError, match=r"holds neither model\.bf16\.safetensors"):
        import_checkpoint(FAMILY, folder, tmp_path / "store", weights_key="bf16")


def test_the_file_that_the_configuration_names_is_read(folder: Path, tmp_path: Path) -> None:
    other(folder / "best.safetensors")
    directories.changed(folder, transformers_weights="best.safetensors")
    made = import_checkpoint(FAMILY, folder, tmp_path / "store")
    saved = load_file(made.folder / "weights.safetensors")
    assert torch.equal(saved["classifier.weight"], load_file(folder / "best.safetensors")["classifier.weight"])
    assert [note for note in made.notes if "best.safetensors" in note and "not read: model.safetensors" in note]
    directories.changed(folder, transformers_weights="../best.safetensors")
    shutil.move(folder / "best.safetensors", tmp_path / "best.safetensors")
    with pytest.raises(ModelError, match=r"config\.json: names '\.\./best\.safetensors', which is outside"):
        import_checkpoint(FAMILY, folder, tmp_path / "store")
    for name in ("a\0b.safetensors", "x" * 300):  # what no file can be called
        directories.changed(folder, transformers_weights=name)
        with pytest.raises(ModelError, match=r"config\.json: names .*, which is missing"):
            import_checkpoint(FAMILY, folder, tmp_path / "store")


def test_what_the_library_would_refuse_is_refused(folder: Path, tmp_path: Path) -> None:
    first, *_ = sharded(folder)
    whole = first.read_bytes()
    first.unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json: names model-00001-.*, which is missing"):
        import_checkpoint(FAMILY, folder, tmp_path / "store")
    save_file({"classifier.weight": torch.zeros(3, 24)}, first)
    with pytest.raises(ModelError, match=r"weight_map: .* is not in model-00001-"):
        import_checkpoint(FAMILY, folder, tmp_path / "store")
    first.write_bytes(whole)
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(ModelError, match=r"holds neither .*model-00001-.*without model\.safetensors\.index\.json"):
        import_checkpoint(FAMILY, folder, tmp_path / "store")


def test_an_adapter_and_quantised_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    directories.changed(folder, quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(ModelError, match="quantization_config: quantised weights are not read"):
        import_checkpoint(FAMILY, folder, tmp_path / "store")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"adapter_config\.json: .*merge"):
        import_checkpoint(FAMILY, folder, tmp_path / "store")


def test_the_case_of_the_faults(assets: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(assets / "faults/hf_old.tgz", tmp_path, filter="data")
    made = import_checkpoint("videomae", tmp_path / "hf_old", tmp_path / "store")
    assert [note for note in made.notes if "not read: model_old.safetensors" in note]
    saved, given = load_file(made.folder / "weights.safetensors"), load_file(tmp_path / "hf_old/model.safetensors")
    same = [name for name in saved if name in given]
    assert len(same) > 20
    assert all(torch.equal(saved[name], given[name]) for name in same)
